"""The command `ingate`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.settings import Settings
from app.store import database, keys
from tests.conftest import ROOT
from tests.helpers import accept, item, sql, work
from web.cli import main

pytestmark = pytest.mark.backend


@pytest.fixture
def environ(store: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a migrated store."""
    database.close()
    return {"DATABASE_URL": store, "INGATE_DATA": str(tmp_path), "INGATE_LOG_LEVEL": "error"}


def ingate(environ: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environ)


def test_a_key_is_made_listed_and_revoked(environ: dict[str, str]) -> None:
    made = ingate(environ, "keys", "create", "my app", "--role", "viewer")
    token = re.findall(r"sk-ingate-\S+", made.output)[0]

    listed = ingate(environ, "keys", "list")
    revoked = ingate(environ, "keys", "revoke", "1")

    assert (made.exit_code, listed.exit_code, revoked.exit_code) == (0, 0, 0)
    assert token not in listed.output
    assert re.search(r"1 +viewer +sk-ingate-\S{4}… .* valid +my app", listed.output)
    assert " revoked " in ingate(environ, "keys", "list").output
    database.connect(environ["DATABASE_URL"])
    assert keys.verify(token) is None


def test_a_key_speaks_for_the_role_that_was_asked_for(environ: dict[str, str]) -> None:
    token = re.findall(r"sk-ingate-\S+", ingate(environ, "keys", "create", "app").output)[0]

    database.connect(environ["DATABASE_URL"])
    identity = keys.verify(token)
    assert identity is not None
    assert identity.role == "member"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("keys", "revoke", "999"), "no valid key 999"),
        (("keys", "revoke", "x"), "not a valid integer"),
        (("keys", "create", "app", "--role", "root"), "'root' is not one of"),
        (("keys", "create", ""), "name: 1 to 100 printable characters"),
        (("nothing",), "No such command"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    environ: dict[str, str], arguments: tuple[str, ...], says: str
) -> None:
    result = ingate(environ, *arguments)

    assert result.exit_code != 0
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_wrong_setting_stops_the_command_and_is_named(environ: dict[str, str]) -> None:
    result = ingate(environ | {"PORT": "eighty"}, "keys", "list")

    assert (result.exit_code, result.output) == (1, "Error: PORT='eighty': expected a whole number from 1 to 65535\n")


@pytest.mark.parametrize("command", [("keys", "list"), ("demo",)])
def test_a_database_that_is_not_there_is_said_without_the_secret(
    environ: dict[str, str], command: tuple[str, ...]
) -> None:
    result = ingate(environ | {"DATABASE_URL": "postgresql://user:hunter2@127.0.0.1:1/none"}, *command)

    assert result.exit_code == 1
    assert "the database does not answer" in result.output
    assert "hunter2" not in result.output


def test_every_setting_is_listed_without_its_value(environ: dict[str, str]) -> None:
    result = ingate(environ | {"INGATE_BOOTSTRAP_KEY": "sk-ingate-" + "x" * 24}, "config")

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [name for name, _, _ in Settings.table()]
    assert "xxxx" not in result.output


def test_migrating_can_be_repeated_and_makes_the_bootstrap_key_once(environ: dict[str, str]) -> None:
    environ |= {"INGATE_BOOTSTRAP_KEY": "sk-ingate-" + "x" * 24}

    results = [ingate(environ, "migrate") for _ in range(2)]

    assert [(result.exit_code, result.output) for result in results] == [(0, "")] * 2
    assert ingate(environ, "keys", "list").output.count("bootstrap") == 1


def test_migrating_makes_the_data_folder_and_says_what_it_did(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    environ = {"INGATE_DATA": str(folder), "DATABASE_URL": "", "INGATE_LOG_LEVEL": "error"}

    result = ingate(environ, "migrate")

    assert "migrated: 0001_initial" in result.output
    assert (folder / "ingate.db").exists()


def test_usage_is_rebuilt_unless_exchanges_have_expired(environ: dict[str, str]) -> None:
    database.connect(environ["DATABASE_URL"])
    ids = accept(item(), item())
    work()
    sql("DELETE FROM usage_day")
    database.close()

    rebuilt = ingate(environ, "rebuild-usage")

    database.connect(environ["DATABASE_URL"])
    assert (rebuilt.exit_code, rebuilt.output, sql("SELECT requests FROM usage_day")) == (0, "", [(2,)])
    sql("DELETE FROM exchange WHERE id = ?", ids[0])
    database.close()
    assert ingate(environ, "rebuild-usage").output.startswith("project 1 keeps its sums")


def test_help_names_every_command() -> None:
    output = CliRunner().invoke(main, ["--help"]).output

    assert set(re.findall(r"^  (\w[\w-]*) ", output, re.MULTILINE)) >= set(main.commands)


def test_the_web_process_may_open_as_many_files_as_it_takes_connections() -> None:
    code = """
import resource
from web.cli import _open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 600))
assert _open_files(500) == 500
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (500, 600)
assert _open_files(1000) == 600, "no more than the system lets us"
assert _open_files(400) == 400
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (600, 600), "never lowered"
"""

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
