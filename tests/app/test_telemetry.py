"""Logs: one event is one line, whatever strangers put into its fields."""

import io
import json
import sys

import pytest
import structlog

from app import telemetry


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
