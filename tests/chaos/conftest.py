"""Which backend the chaos tests run on: SQLite and Valkey, or, in CI's second pass, PostgreSQL and Redis."""

import pytest

from tests.chaos.servers import Postgresql
from tests.conftest import SERVER_DATABASE_URL


@pytest.fixture
def backend() -> str:
    """The backend of this pass. The servers are the harness's own: the ones that the URLs name are not for killing."""
    if not SERVER_DATABASE_URL:
        return "sqlite"
    if missing := Postgresql.missing():
        pytest.skip(missing)
    return "postgresql"
