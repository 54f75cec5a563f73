"""`ingate reprocess`: first what would change, then, when that is wanted, the change."""

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from actors.reprocess import reprocess as actor
from tests.helpers import accept, item, sql, work
from web.cli import main

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def history(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One logged exchange that an older version read; runs are worked as they are sent."""
    from app.store import database

    monkeypatch.setenv("DATABASE_URL", store)
    monkeypatch.setattr("web.reprocess.send", lambda _, ids: actor.fn(ids[0]))
    accept(item())
    work()
    sql("UPDATE log SET model = 'old', cost_usd = 1.0")
    yield
    database.connect(store)


def run(*arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(main, ["reprocess", *arguments], **more)


def models(store: str) -> list[tuple[Any, ...]]:
    from app.store import database

    database.connect(store)
    return sql("SELECT model FROM log")


def test_a_dry_run_shows_what_would_change(store: str) -> None:
    result = run("--dry-run", "--q", "model:old", "--since", "2020-01-01")

    assert result.exit_code == 0
    assert "1 exchanges read; 1 would change" in result.output
    assert "cost: 1.000000 -> 0.000005 USD (-0.999996)" in result.output
    assert [line.split() for line in result.output.splitlines() if line.startswith("  ")] == [
        ["cost_usd", "1"],
        ["model", "1"],
    ]
    assert models(store) == [("old",)]


def test_nothing_is_changed_before_a_person_agrees(store: str) -> None:
    result = run(input="n\n")

    assert result.exit_code == 1
    assert models(store) == [("old",)]


@pytest.mark.parametrize(("arguments", "answer"), [([], "y\n"), (["--yes"], "")])
def test_with_consent_it_is_changed(store: str, arguments: list[str], answer: str) -> None:
    result = run(*arguments, input=answer)

    assert result.exit_code == 0
    assert "1 exchanges read; 1 changed" in result.output
    assert models(store) == [("gpt-4o-mini",)]


def test_where_nothing_changes_nobody_is_asked(store: str) -> None:
    run("--yes")

    result = run()

    assert result.exit_code == 0
    assert "0 would change" in result.output


@pytest.mark.parametrize("arguments", [["--q", "colour:red"], ["--since", "yesterday"]])
def test_a_wrong_query_is_one_sentence(arguments: list[str]) -> None:
    result = run(*arguments)

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
