"""Mutants: the product with one promise broken, each of which must turn the check red."""

from collections.abc import Callable
from typing import Any

from tests.chaos.patching import patch


def answers_before_commit() -> None:
    """Resolves the waiting requests, and sends the ids, inside the transaction instead of after it."""
    from app.store import accept, database

    def commit(self: Any, group: Any) -> None:
        with database.transaction():
            receipts, new_ids = accept.store([submission for submission, _ in group])
            self._hand_back(group, receipts)
            self._announce(new_ids)

    patch("app.store.accept.Writer._commit", lambda _: commit)


def never_sweeps() -> None:
    """Sends nothing that stands still."""
    patch("actors.sweep.sweep", lambda _: lambda _broker: 0)


def inserts_regardless() -> None:
    """Inserts exchanges without a conflict clause."""

    def wrap(real: Callable[..., str]) -> Callable[..., str]:
        return lambda *args: real(*args).replace(" ON CONFLICT DO NOTHING", "")

    patch("app.store.bulk._insert_sql", wrap)


def counts_after_the_work() -> None:
    """Counts an attempt when the work comes back with an error, not when it is begun."""
    from app.store import database

    def count(ids: list[int], change: int) -> None:
        with database.transaction():
            where = database.in_list("exchange_id")
            database.execute(
                f"UPDATE pending SET attempts = attempts + ? WHERE {where}", [change, database.id_list(ids)]
            )

    def claiming(real: Callable[..., Any]) -> Callable[..., Any]:
        def claim(ids: Any, step: Any) -> Any:
            claimed = real(ids, step)
            count([one.exchange_id for one in claimed], -1)
            return claimed

        return claim

    def putting_off(real: Callable[..., Any]) -> Callable[..., Any]:
        def try_later(exchange_id: int, *args: Any) -> Any:
            count([exchange_id], +1)
            return real(exchange_id, *args)

        return try_later

    patch("app.store.pending.claim", claiming)
    patch("app.store.pending.try_later", putting_off)


def remembers_before_the_write() -> None:
    """Takes a request id for a duplicate once it has seen it, whether it was stored or not."""
    from app.store.accept import Outcome, Receipt

    seen: set[str] = set()

    def wrap(real: Callable[..., Any]) -> Callable[..., Any]:
        def store(submissions: Any) -> Any:
            ids = [[entry.request_id for entry in one.entries] for one in submissions]
            fresh = [one for one, own in zip(submissions, ids, strict=True) if not seen.issuperset(own)]
            seen.update(request_id for own in ids for request_id in own)
            receipts, new = real(fresh) if fresh else ([], [])
            stored = iter(receipts)
            known = [
                next(stored)
                if one in fresh
                else Receipt(
                    "seen" if one.batch else None, [Outcome(e.position, e.request_id, True) for e in one.entries]
                )
                for one in submissions
            ]
            return known, new

        return store

    patch("app.store.accept.store", wrap)


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (
        counts_after_the_work,
        answers_before_commit,
        never_sweeps,
        inserts_regardless,
        remembers_before_the_write,
    )
}
