"""Rows of the log: inserted once, short, and fit for a text column."""

import pytest

from app.extraction import Extraction
from app.pricing import Cost
from app.store import exchanges, logs
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

    assert logs.known(project) == (["a", "gpt-4o-mini"], ["b", "openai"])
    assert logs.known(project + 1) == ([], [])


@pytest.mark.backend
@pytest.mark.usefixtures("store")
def test_an_exchange_that_moved_already_is_not_logged_again() -> None:
    ids = accept(item())
    work()

    assert logs.keep([Entry(exchanges.subjects(ids)[0], Extraction(model="other"), Cost())]) == []
    assert sql("SELECT model FROM log") == [("gpt-4o-mini",)]


@pytest.mark.backend
@pytest.mark.usefixtures("store")
def test_a_key_that_the_preview_would_cut_is_in_neither_row_nor_index() -> None:
    key = planted()["groq_key"][0]
    message = {"role": "user", "content": "x" * 140 + " " + key}

    accept(item(request_body={"model": key, "messages": [message]}))
    work()

    assert sql("SELECT model, prompt_preview FROM log") == [("<masked:groq_key>", "x" * 140 + " <masked:groq_key>")]
    project = sql("SELECT id FROM project")[0][0]
    assert logs.known(project).models == ["<masked:groq_key>"]
