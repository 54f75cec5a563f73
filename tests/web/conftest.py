"""The web process as it is shipped: granian, started by `ingate web`, on a database of its own and without a queue."""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Ingate, scratch_database


class Web(Ingate):
    """One web process; what it accepts stays where it is."""

    words = ("web",)


@contextlib.contextmanager
def web_processes(folder: Path, count: int) -> Iterator[list[Web]]:
    """Web processes on one migrated database."""
    with scratch_database(folder / "ingate.db") as database_url:
        environ = {
            "INGATE_DATA": str(folder),
            "DATABASE_URL": database_url,
            "REDIS_URL": f"unix://{folder}/nobody.sock",
            "INGATE_BOOTSTRAP_KEY": f"sk-ingate-{uuid.uuid4().hex}",
        }
        running = [Web(environ) for _ in range(count)]
        subprocess.run(
            [*Web.command, "migrate"], cwd=ROOT, env=running[0].full_environ(), check=True, capture_output=True
        )
        try:
            for web in running:
                web.start()
            yield running
        finally:
            for web in running:
                web.stop()
                web.http.close()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web process, shared by the tests of a module."""
    with web_processes(tmp_path_factory.mktemp("web"), 1) as (one,):
        yield one
