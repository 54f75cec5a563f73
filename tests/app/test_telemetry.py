"""Logs: one event is one line, whatever strangers put into its fields, and no key or token gets into it."""

import io
import json
import logging
import sys
from typing import Any

import pytest
import structlog

from app import telemetry
from tests.secrets import planted

KEY = planted()["openai_project_key"][0]


class Told:
    """Says a key about itself."""

    def __repr__(self) -> str:
        return f"<Told {KEY}>"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is logged as JSON, as it is for a process that nobody looks at."""
    factory = logging.getLogRecordFactory()
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    telemetry.configure("info")
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.reset_defaults()
    logging.setLogRecordFactory(factory)


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines",
        "\r\nforged: line",
        "\x1b]0;title\x07\x1b[31mred",
        "\u2028",
        "\u202e",
        "\x00",
        "\ud83d",
        '"}, {"level": "error',
    ],
)
def test_a_record_is_one_line_without_controls(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    telemetry.configure("info")

    structlog.get_logger().info("request_failed", path=text, **{text or "field": 1})

    monkeypatch.undo()
    telemetry.configure("error")
    line, end, rest = written.getvalue().partition("\n")
    assert (end, rest) == ("\n", "")
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["path"] == text


def test_events_are_masked_and_numbers_stay(lines: Any) -> None:
    for _ in range(2):
        structlog.get_logger().warning("exchange_put_off", error=f"no {KEY}", exchange_id=7, ids=[1], who=Told())

    _, line = lines()
    assert (line["event"], line["exchange_id"], line["ids"]) == ("exchange_put_off", 7, [1])
    assert line["error"] == "no <masked:openai_key>"
    assert line["who"] == "<Told <masked:openai_key>>"


def test_tracebacks_are_masked(lines: Any) -> None:
    try:
        int(KEY)
    except ValueError:
        structlog.get_logger().exception("it_broke")

    (line,) = lines()
    assert "ValueError: invalid literal for int() with base 10: '<masked:openai_key>'" in line["exception"]
    assert KEY not in json.dumps(line)


def test_what_libraries_log_is_masked(lines: Any) -> None:
    out = io.StringIO()
    logger, handler = logging.getLogger("a.library"), logging.StreamHandler(out)
    logger.addHandler(handler)
    try:
        int(KEY)
    except ValueError:
        logger.exception("message %s of %d failed", KEY, 3)
    logger.error("nothing was caught", exc_info=sys.exc_info())
    logger.removeHandler(handler)

    written = out.getvalue()
    assert written.startswith("message <masked:openai_key> of 3 failed\nTraceback (most recent call last):\n")
    assert "base 10: '<masked:openai_key>'\nnothing was caught" in written
    assert KEY not in written
