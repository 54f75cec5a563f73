"""`make screenshots`: the README's pictures, made from the example exchanges so that they never rot."""

import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, QUIET
from tests.conftest import ROOT, Ingate

IMAGES = ROOT / "docs" / "images"
SIZE = {"width": 1200, "height": 760}
EVALS = [
    {"name": "polite", "type": "not_contains", "config": {"values": ["damn", "stupid"]}},
    {"name": "brief", "type": "max_length", "config": {"characters": 400}},
    {"name": "fast", "type": "latency_max", "config": {"milliseconds": 3000}},
]


def main() -> None:
    """Take the pictures, light and dark."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        key = f"sk-ingate-{uuid.uuid4().hex}"
        ingate = Ingate({"INGATE_DATA": folder, "DATABASE_URL": "", "REDIS_URL": "", "INGATE_BOOTSTRAP_KEY": key})
        ingate.start()
        try:
            for evaluator in EVALS:
                ingate.http.post("/api/v1/evals", json=evaluator).raise_for_status()
            subprocess.run([*ingate.command, "demo"], cwd=ROOT, env=ingate.full_environ(), check=True)
            ingate.receipt("demo-27")
            _take(ingate)
        finally:
            ingate.stop()
            ingate.http.close()


def _take(ingate: Ingate) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *QUIET])
        signing_in = browser.new_context()
        signing_in.new_page().goto(ingate.sign_in_link())
        state = signing_in.storage_state()
        for theme in ("light", "dark"):
            context = browser.new_context(
                base_url=ingate.url, storage_state=state, color_scheme=theme, viewport=SIZE, device_scale_factor=1.5
            )
            page = context.new_page()
            for name, path in (("exchanges", "/exchanges"), ("exchange", "/exchanges/demo-03")):
                page.goto(path)
                page.wait_for_load_state("networkidle")
                page.screenshot(path=Path(IMAGES) / f"{name}-{theme}.png")
        browser.close()


if __name__ == "__main__":
    if CHROMIUM is None:
        sys.exit("no Chromium on this machine")
    main()
