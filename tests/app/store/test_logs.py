"""Rows of the log: inserted once, short, and fit for a text column."""

import pytest

from app.extraction import Extraction
from app.pricing import Cost
from app.store import exchanges, logs, names
from app.store.logs import Entry
from tests.helpers import accept, item, sql, work
from tests.secrets import planted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, None),
        ("", ""),
        (" a\n\tb  c ", "a b c"),
        ("x" * 160, "x" * 160),
        ("x" * 161, "x" * 159 + "…"),
        ("x " * 1000, "x " * 79 + "x…"),
        (" " * 5000 + "x", "…"),
        ("😀" * 161, "😀" * 159 + "…"),
    ],
)
def test_a_preview_is_one_short_line(text: str | None, shown: str | None) -> None:
    assert logs.preview(text) == shown


@pytest.mark.backend
@pytest.mark.usefixtures("store")
def test_a_project_knows_its_models_and_providers() -> None:
    accept(item(), item(), item(provider="b", request_body={"model": "a"}), {"prompt": "no model"})
    work()
    project = sql("SELECT id FROM project")[0][0]

    assert names.known(project) == (["a", "gpt-4o-mini"], ["b", "openai"])
    assert names.known(project + 1) == ([], [])


@pytest.mark.backend
@pytest.mark.usefixtures("store")
def test_what_is_written_of_a_chunk_is_masked_for_the_one_that_needs_it() -> None:
    key = planted()["groq_key"][0]
    found = [Extraction(model="one", prompt="hello"), Extraction(model=key, prompt=f"my key is {key}", system=key)]

    subjects = exchanges.subjects(accept(item(), item()))

    rows = logs.prepared(Entry(subject, one, Cost()) for subject, one in zip(subjects, found, strict=True))

    assert rows[subjects[0].id].words == ["hello"]
    assert rows[subjects[1].id].words == ["my", "key", "is", "masked", "groq"]
    assert key not in repr(rows)


@pytest.mark.backend
@pytest.mark.usefixtures("store")
def test_a_key_that_the_preview_would_cut_is_in_neither_row_nor_index() -> None:
    key = planted()["groq_key"][0]
    message = {"role": "user", "content": "x" * 140 + " " + key}

    accept(item(request_body={"model": key, "messages": [message]}))
    work()

    assert sql("SELECT model, prompt_preview FROM log") == [("<masked:groq_key>", "x" * 140 + " <masked:groq_key>")]
    project = sql("SELECT id FROM project")[0][0]
    assert names.known(project).models == ["<masked:groq_key>"]
