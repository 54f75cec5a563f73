"""A real Chromium on a real Ingate. Every page a test opens is watched: a CSP violation or script error fails it."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.conftest import Ingate

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium for a module, since its event loop must end before other modules' tests bring theirs.

    Skipped where there is none, except in CI.
    """
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium (Debian's package)")
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *QUIET])
        yield running
        running.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, ingate: Ingate) -> dict[str, object]:
    """Cookies of a person who followed a sign-in link."""
    context = browser.new_context()
    context.new_page().goto(ingate.sign_in_link())
    state = dict(context.storage_state())
    context.close()
    return state


@pytest.fixture
def context(browser: Browser, ingate: Ingate, signed_in: dict[str, object]) -> Iterator[BrowserContext]:
    """A browser window of a person who is signed in."""
    with_cookies = browser.new_context(base_url=ingate.url, storage_state=signed_in)  # type: ignore[arg-type]
    yield with_cookies
    with_cookies.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A watched page of that window."""
    watched = context.new_page()
    problems = watch(watched)
    yield watched
    assert problems == []


def watch(page: Page) -> list[str]:
    """Collect what goes wrong on a page: uncaught errors, and console errors, which CSP violations are."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
    page.on(
        "console", lambda message: problems.append(f"{page.url}: {message.text}") if message.type == "error" else None
    )
    return problems
