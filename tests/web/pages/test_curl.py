"""Recorded requests as commands that are safe to paste."""

import json
import subprocess

import pytest

from app import extraction
from tests.helpers import encoded
from web.pages.curl import curl_of, first_curl, shell_word

HOSTILE = ["it's", '$(id)`id`"; id #', "a\nb\tc", "\x1b[201~id\n", "!!", "-d @/etc/passwd", "ünïcode 👩", "\\'x\\\x00y"]


@pytest.mark.parametrize("text", HOSTILE)
def test_word_reaches_bash_as_it_is_and_holds_no_control_character(text: str) -> None:
    word = shell_word(text)

    assert word.isprintable()
    printed = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
    assert printed.decode() == text.split("\x00", maxsplit=1)[0]


def test_recorded_request_is_sent_to_its_provider_again() -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "it's $HOME\n\x1b"}]}
    found = extraction.extract(encoded(request_body=body))

    command = curl_of(found) or ""

    shown = subprocess.run(
        ["bash", "-c", f'curl() {{ printf "%s\\0" "$@"; }}; OPENAI_API_KEY=k; {command}'],
        capture_output=True,
        check=True,
    ).stdout.decode()
    arguments = shown.split("\0")
    assert arguments[0] == "https://api.openai.com/v1/chat/completions"
    assert "Authorization: Bearer k" in arguments
    assert json.loads(arguments[arguments.index("--data-raw") + 1]) == body


def test_first_exchange_is_json_that_is_taken() -> None:
    command = first_curl("http://host")

    body = subprocess.run(
        ["bash", "-c", f'curl() {{ printf "%s" "${{@: -1}}"; }}; {command}'], capture_output=True, check=True
    ).stdout
    assert extraction.extract(body).model == "gpt-4o-mini"
