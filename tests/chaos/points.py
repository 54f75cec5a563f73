"""Crash points: places between two statements where a process may be killed, by names of what is called there."""

from typing import Literal, NamedTuple

COMMIT = "peewee._transaction.commit"
SEND = "dramatiq.brokers.redis.RedisBroker.enqueue"
_ACCEPT = "app.store.accept.Writer._run"
_PASS = "actors.extract._pass.<locals>.keep"
_LOG = "actors.log._work.<locals>.keep"
_EVALUATE = "actors.evaluate._work.<locals>.keep"


class Point(NamedTuple):
    """Before or after a call of `target`."""

    process: Literal["web", "worker"]
    when: Literal["before", "after"]
    target: str
    #: Only calls that come from this function, however deep.
    within: str = ""
    #: Only calls whose first argument is this model.
    model: str = ""


POINTS: dict[str, Point] = {
    "accept: nothing written": Point("web", "before", "app.store.accept.store"),
    "accept: batches written": Point("web", "after", "app.store.accept._insert_batches"),
    "accept: exchanges written": Point("web", "after", "app.store.accept._insert_exchanges"),
    "accept: payloads written": Point("web", "after", "app.store.bulk.insert", _ACCEPT, "Payload"),
    "accept: pending written": Point("web", "after", "app.store.bulk.insert", _ACCEPT, "Pending"),
    "accept: before commit": Point("web", "before", COMMIT, _ACCEPT),
    "accept: committed": Point("web", "after", COMMIT, _ACCEPT),
    "accept: answered": Point("web", "before", "actors.sender.Sender.announce"),
    "accept: announced": Point("web", "before", "actors.sender.Sender._send"),
    "accept: sent": Point("web", "after", "actors.sender.Sender._send"),
    "extract: received": Point("worker", "before", "app.store.pending.claim", "actors.extract.extract"),
    "extract: before commit of claim": Point("worker", "before", COMMIT, "app.store.pending.claim"),
    "extract: claimed": Point("worker", "after", "app.store.pending.claim", "actors.extract.extract"),
    "pass: finished": Point("worker", "after", "app.store.pending.finish", _PASS),
    "pass: log written": Point("worker", "after", "app.store.bulk.insert", _PASS, "Log"),
    "pass: search written": Point("worker", "after", "app.store.search.insert", _PASS),
    "pass: scores written": Point("worker", "after", "app.store.bulk.insert", _PASS, "Score"),
    "pass: before commit": Point("worker", "before", COMMIT, _PASS),
    "pass: committed": Point("worker", "after", COMMIT, _PASS),
    "extract: moved on": Point("worker", "after", "app.store.pending.advance", "actors.extract._keep"),
    "extract: committed": Point("worker", "after", COMMIT, "actors.extract._keep"),
    "extract: passed on": Point("worker", "after", SEND, "actors.extract.extract"),
    "log: claimed": Point("worker", "after", "app.store.pending.claim", "actors.log.log"),
    "log: moved on": Point("worker", "after", "app.store.pending.advance", _LOG),
    "log: log written": Point("worker", "after", "app.store.bulk.insert", _LOG, "Log"),
    "log: search written": Point("worker", "after", "app.store.search.insert", _LOG),
    "log: committed": Point("worker", "after", COMMIT, _LOG),
    "log: passed on": Point("worker", "after", SEND, "actors.log.log"),
    "evaluate: claimed": Point("worker", "after", "app.store.pending.claim", "actors.evaluate.evaluate"),
    "evaluate: finished": Point("worker", "after", "app.store.pending.finish", _EVALUATE),
    "evaluate: scores written": Point("worker", "after", "app.store.bulk.insert", _EVALUATE, "Score"),
    "evaluate: committed": Point("worker", "after", COMMIT, _EVALUATE),
    "evaluate: before ack": Point("worker", "before", "dramatiq.brokers.redis._RedisConsumer.ack"),
    "sweep: before commit": Point("worker", "before", COMMIT, "app.store.pending.take_due"),
    "sweep: taken": Point("worker", "after", "app.store.pending.take_due"),
    "sweep: some sent": Point("worker", "after", SEND, "actors.sweep.sweep"),
    "put off: before": Point("worker", "before", "app.store.pending.try_later"),
    "put off: done": Point("worker", "after", "app.store.pending.try_later"),
    "park: before": Point("worker", "before", "app.store.failures.park"),
    "park: before commit": Point("worker", "before", COMMIT, "app.store.failures.park"),
    "park: done": Point("worker", "after", "app.store.failures.park"),
}
