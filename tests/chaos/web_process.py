"""What granian loads instead of `web.app`: the same app, in a process that does to itself what the harness says."""

from tests.chaos import injection
from web.app import create_app

injection.install()

__all__ = ["create_app"]
