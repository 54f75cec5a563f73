"""The queue: Dramatiq on Redis or Valkey. It wakes workers and carries ids; the truth is in SQL, so it may be emptied.

Two differences from Dramatiq as it comes. A lone message does not wait for the idle poll: the consumer blocks in
Redis until something is there. And a message that fails is simply done: attempts and backoff live in SQL, because
Dramatiq's delayed queue can stall when Redis restarts.
"""

import time
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware, TimeLimit

from app import telemetry
from app.settings import Settings
from app.store import database

#: A chunk takes well under a second; one that takes this long is stuck.
TIME_LIMIT_MS = 60_000
#: A worker that is silent for this long is dead, and its messages are given to others.
HEARTBEAT_TIMEOUT_MS = 30_000
#: Chance in a million that a command also looks for dead workers. The default finds one after 350 s.
MAINTENANCE_CHANCE = 100_000
SOCKET_TIMEOUT_S = 5
#: How long the consumer blocks at a time: below the socket's timeout, and how long a stop may wait for it.
PEEK_S = 1
#: Pause of a consumer whose workers have as much as they may hold.
FULL_S = 0.005


class _PeekingConsumer(_RedisConsumer):
    """Waits in a blocking peek: moving a list's head onto itself changes nothing and returns when there is a head."""

    def __next__(self) -> Any:
        if not self.message_cache:
            if self.outstanding_message_count >= self.prefetch:
                time.sleep(FULL_S)
                return None
            if not self._something_waits():
                return None
        return super().__next__()  # type: ignore[no-untyped-call]  # Dramatiq's is untyped

    def _something_waits(self) -> bool:
        key = f"{self.broker.namespace}:{self.queue_name}"
        try:
            return self.broker.client.blmove(key, key, PEEK_S, "LEFT", "LEFT") is not None
        except (redis.TimeoutError, redis.ConnectionError) as error:
            # Dramatiq takes only ConnectionError for a lost connection; a time-out is one too.
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]  # Dramatiq's is untyped


class _Broker(RedisBroker):
    """RedisBroker whose consumers of real queues peek; delayed queues, which Ingate does not use, poll as ever."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        if queue_name in self.queues:
            return _PeekingConsumer(self, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]  # Dramatiq's is untyped
        return super().consume(queue_name, prefetch, timeout)


class _Store(Middleware):
    """Connects a worker process to the database: its commits may be lost in a power cut, the sweep repeats them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        telemetry.configure(self._settings.log_level)
        database.connect(self._settings.database_url, relaxed=True)

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        database.close()


def make_broker(settings: Settings) -> RedisBroker:
    """Return a broker for the settings' queue server; nothing is connected before the first message."""
    options: dict[str, Any] = {"socket_timeout": SOCKET_TIMEOUT_S, "socket_connect_timeout": SOCKET_TIMEOUT_S}
    if settings.redis_url.startswith("rediss:") and settings.redis_tls_insecure:
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    client = redis.Redis.from_url(settings.redis_url, **options)
    return _Broker(  # type: ignore[no-untyped-call]  # Dramatiq's is untyped
        client=client,
        middleware=[_Store(settings), TimeLimit(time_limit=TIME_LIMIT_MS)],
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        maintenance_chance=MAINTENANCE_CHANCE,
    )


def lengths(queue: dramatiq.Broker, *names: str) -> dict[str, int]:
    """Return how many messages wait on each of the named queues."""
    assert isinstance(queue, RedisBroker)
    with queue.client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(f"{queue.namespace}:{name}")
        return dict(zip(names, pipe.execute(), strict=True))


def length(queue: dramatiq.Broker, *names: str) -> int:
    """Return how many messages wait on the named queues together."""
    return sum(lengths(queue, *names).values())


settings = Settings.from_environ()
broker = make_broker(settings)
dramatiq.set_broker(broker)
