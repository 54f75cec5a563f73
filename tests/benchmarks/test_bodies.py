"""What the benchmark sends is accepted, read, and never the same twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.extraction import Extraction, extract
from app.intake import Defaults, Limits, read_batch
from app.search import words
from benchmarks import bodies
from tests.helpers import CHAT

LIMITS = Limits(item_bytes=4 << 20, batch_items=1000)


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one recorded exchange that is neither too short nor too long, and one that is."""
    filler = [{"role": "system", "content": "x" * 1_500}]
    asked = {**CHAT["request_body"], "messages": [*filler, *CHAT["request_body"]["messages"]]}
    rows = [{**CHAT, "request_body": asked, "latency_ms": None}, CHAT]
    (tmp_path / "some.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setenv("INGATE_RECORDINGS", str(tmp_path))
    bodies._templates.cache_clear()
    yield tmp_path
    bodies._templates.cache_clear()


def _sent(kind: str, count: int = 30) -> list[bytes]:
    return [bodies.encoded(number, "run", kind) for number in range(count)]


@pytest.mark.parametrize("kind", bodies.KINDS)
def test_every_exchange_is_accepted_and_read(kind: str, recordings: Path) -> None:
    request = b'{"exchanges":[' + b",".join(_sent(kind)) + b"]}"

    entries = read_batch(request, LIMITS, Defaults())

    assert len({entry.request_id for entry in entries}) == len(entries)
    assert len({(entry.user_id, entry.session_id) for entry in entries}) == len(entries)
    assert {extract(entry.raw).status for entry in entries} == {"extracted"}


@pytest.mark.parametrize("kind", bodies.KINDS)
def test_every_exchange_has_a_word_of_its_own(kind: str, recordings: Path) -> None:
    found = [set(_words(extract(sent))) for sent in _sent(kind)]

    assert all(some - set().union(*found[:i], *found[i + 1 :]) for i, some in enumerate(found))


@pytest.mark.parametrize(("kind", "size"), [("small", 2_500), ("large", 30_000)])
def test_bodies_have_the_size_that_they_say(kind: str, size: int) -> None:
    sent = _sent(kind, 300)

    assert sum(map(len, sent)) / len(sent) == pytest.approx(size, rel=0.05)


def test_texts_have_a_kilobyte_and_more_to_search() -> None:
    found = [extract(sent) for sent in _sent("texts", 300)]

    assert sum(len(f"{one.prompt}{one.completion}") for one in found) / len(found) == pytest.approx(1_200, rel=0.05)


def test_a_folder_without_fitting_recordings_is_named(recordings: Path) -> None:
    (recordings / "some.jsonl").write_text(json.dumps(CHAT))

    with pytest.raises(FileNotFoundError, match=str(recordings)):
        bodies.encoded(0, "run", "recordings")


def _words(found: Extraction) -> list[str]:
    return words(found.prompt, found.completion, found.system)
