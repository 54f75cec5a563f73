"""Example exchanges for a first look: `ingate demo` sends them through the public API; so does the empty page."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from quart import Blueprint, Response, current_app, redirect

from app.intake import Defaults, Limits, read_batch
from app.settings import Settings
from app.store import keys
from app.store.accept import Submission, Writer
from app.store.models import Kind
from web.ingest import KIND_HEADER
from web.routing import page
from web.sessions import Viewer

routes = Blueprint("demo", __name__)

#: One item a line, written for this purpose: three API shapes, streams, tools, errors, cached tokens, other vendors.
EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "demo.jsonl"
#: Items of one request, so that the progress bar moves.
_PART = 4


@page(routes, "/demo", role="member", method="POST")
async def load_demo(who: Viewer) -> Response:
    """Accept the examples into the viewer's project."""
    settings: Settings = current_app.config["SETTINGS"]
    writer: Writer = current_app.config["WRITER"]
    limits = Limits(settings.max_item_bytes, settings.max_batch_items)
    entries = read_batch(_body(_examples()), limits, Defaults(), who.identity.masking)
    submission = Submission(who.project_id, who.identity.key_id, Kind.DEMO, entries, batch=True)
    await writer.submit(submission)
    return redirect("/exchanges", 303)  # type: ignore[return-value]  # Quart's own Response


def load(settings: Settings, url: str, key: str) -> None:
    """Send the examples to a running Ingate, with a progress bar; without a key, by one made for this in the store."""
    url = url.rstrip("/") or f"http://127.0.0.1:{settings.port}"
    examples = _examples()
    with (
        _some_key(key) as token,
        click.progressbar(length=len(examples), label="Examples", file=sys.stderr) as bar,
    ):
        for start in range(0, len(examples), _PART):
            part = examples[start : start + _PART]
            _post(f"{url}/api/v1/ingest/batch", token, _body(part))
            bar.update(len(part))
    click.echo(f"{len(examples)} example exchanges are on {url}/exchanges")


def _examples() -> list[bytes]:
    return EXAMPLES.read_bytes().splitlines()


def _body(items: list[bytes]) -> bytes:
    return b'{"exchanges": [' + b",".join(items) + b"]}"


@contextmanager
def _some_key(key: str) -> Iterator[str]:
    if key:
        yield key
        return
    info, token = keys.create(name="ingate demo", role="member", actor="cli")
    try:
        yield token
    finally:
        keys.revoke(info.id, actor="cli")


def _post(url: str, key: str, body: bytes) -> None:
    headers = {"X-Ingate-Key": key, "Content-Type": "application/json", KIND_HEADER: "demo"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30):  # noqa: S310 - the user's own server
            return
    except urllib.error.HTTPError as error:
        detail = json.loads(error.read() or b"{}").get("detail", error.reason)
        raise click.ClickException(f"{url} answered {error.code}: {detail}") from None
    except (urllib.error.URLError, OSError) as error:
        raise click.ClickException(f"{url} does not answer ({error}): is Ingate running?") from None
