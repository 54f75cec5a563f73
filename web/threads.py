"""Blocking work off the event loop: every SQL read of a request runs here, on a bounded number of threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Also the most database connections that the requests of one web process use.
THREADS = 8

_executor = ThreadPoolExecutor(THREADS, thread_name_prefix="store")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work and wait for it without blocking the loop."""
    return await asyncio.get_running_loop().run_in_executor(_executor, partial(work, *args, **kwargs))
