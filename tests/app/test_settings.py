"""Settings: every one documented, a wrong one named, a secret never shown."""

import re
from pathlib import Path

import pytest

from app.errors import SettingError
from app.settings import MAX_SOCKET_PATH, Settings
from tests.conftest import ROOT


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_environ({})

    assert (settings.port, settings.host, settings.max_batch_items) == (8000, "127.0.0.1", 1000)
    assert settings.database_url == f"sqlite:///{Path('data/ingate.db').absolute()}"
    assert settings.bundled_queue


def test_every_setting_is_documented_in_the_readme() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? *\| (.*?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert rows == Settings.table()


def test_an_empty_value_is_the_same_as_none() -> None:
    variables = [variable for variable, _, _ in Settings.table()]

    assert Settings.from_environ(dict.fromkeys(variables, "")) == Settings.from_environ({})


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PORT", "0", "a whole number from 1 to 65535"),
        ("PORT", "65536", "a whole number from 1 to 65535"),
        ("PORT", "80 80", "a whole number from 1 to 65535"),
        ("PORT", "-1", "a whole number from 1 to 65535"),
        ("WEB_CONCURRENCY", "two", "a whole number from 1 to 64"),
        ("INGATE_MAX_ITEM_BYTES", "9" * 400, "a whole number from 1024"),
        ("INGATE_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("DATABASE_URL", "mysql://host/name", "sqlite:///path or postgresql://"),
        ("REDIS_URL", "http://host", "redis://host:port/0"),
        ("INGATE_BOOTSTRAP_KEY", "short", "sk-ingate- and at least 24"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingError) as error:
        Settings.from_environ({variable: value})

    assert error.value.detail.startswith(f"{variable}=")
    assert expected in error.value.detail
    assert len(error.value.detail) < 300


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("INGATE_BOOTSTRAP_KEY", "hunter2"),
        ("DATABASE_URL", "mysql://user:hunter2@host/name"),
        ("DATABASE_URL", "postgresql://user:hunter2℀@host/name"),
        ("DATABASE_URL", "postgresql://user:pass@[hunter2]/name"),
        ("REDIS_URL", "http://:hunter2@host"),
        ("REDIS_URL", "redis://:hunter2℀@host"),
    ],
)
def test_a_wrong_secret_is_not_shown(variable: str, value: str) -> None:
    with pytest.raises(SettingError) as error:
        Settings.from_environ({variable: value})

    assert error.value.detail.startswith(f"{variable}=…: expected ")
    assert "hunter2" not in error.value.detail


def test_a_data_folder_may_hold_signs_that_mean_something_in_a_url(tmp_path: Path) -> None:
    from app.store import database

    folder = tmp_path / "50%41 off?#"
    folder.mkdir()

    database.connect(Settings.from_environ({"INGATE_DATA": str(folder)}).database_url)
    with database.session():
        database.execute("CREATE TABLE here (it INTEGER)")
    database.close()

    assert (folder / "ingate.db").exists()


def test_a_socket_path_that_is_too_long_moves_to_the_temporary_folder(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / ("long" * 30))

    assert len(str(settings.queue_socket)) <= MAX_SOCKET_PATH
    assert settings.queue_socket == Settings(data=tmp_path / ("long" * 30)).queue_socket
    assert settings.queue_socket != Settings(data=tmp_path / ("longer" * 30)).queue_socket


def test_a_redis_of_ones_own_is_not_the_bundled_one() -> None:
    assert not Settings.from_environ({"REDIS_URL": "redis://host:6379/0"}).bundled_queue
