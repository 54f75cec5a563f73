"""What Dramatiq loads instead of `actors.worker`: the same actors, in a process that does to itself what it is told."""

from actors.worker import broker
from tests.chaos import injection

injection.install()

__all__ = ["broker"]
