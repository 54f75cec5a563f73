"""The search index behind three functions: SQLite FTS5 (contentless, no positions) or a PostgreSQL tsvector with GIN.

A contentless FTS5 table forgets words only when it is given them back, and nobody has the old ones. So `replace` puts
the new words under a new rowid of the same exchange, and what is found under an older one does not count. The old words
stay in the index as dead weight; it grows only where texts are really read differently. `forget` is for who has them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from app.search import wanted
from app.store.database import copy, execute, execute_many, id_list, in_list, is_sqlite

#: On SQLite, rowid = exchange id + generation * _GENERATION.
_GENERATION = 1 << 41


_CURRENT = f"""SELECT s.rowid % {_GENERATION} FROM search s
     LEFT JOIN search_generation g ON g.exchange_id = s.rowid % {_GENERATION}
    WHERE s.search MATCH ? AND s.rowid / {_GENERATION} = coalesce(g.generation, 0)"""


def insert(rows: Sequence[tuple[int, list[str]]]) -> None:
    """Index the words of exchanges, inside the caller's transaction."""
    if not rows:
        return
    if is_sqlite():
        execute_many("INSERT INTO search (rowid, words) VALUES (?, ?)", [(i, " ".join(words)) for i, words in rows])
    else:
        # As text a tsvector is its words; they hold nothing that would have to be quoted.
        copy("search", ("exchange_id", "words"), [(i, " ".join(words)) for i, words in rows])


def replace(rows: Sequence[tuple[int, list[str]]]) -> None:
    """Index other words of exchanges that are in the index already, inside the caller's transaction."""
    if not rows:
        return
    if not is_sqlite():
        sql = """INSERT INTO search (exchange_id, words) VALUES (?, array_to_tsvector(?))
                     ON CONFLICT (exchange_id) DO UPDATE SET words = excluded.words"""
        execute_many(sql, rows)
        return
    execute_many(
        """INSERT INTO search_generation (exchange_id, generation) VALUES (?, 1)
               ON CONFLICT (exchange_id) DO UPDATE SET generation = generation + 1""",
        [(exchange_id,) for exchange_id, _ in rows],
    )
    ids = id_list([exchange_id for exchange_id, _ in rows])
    now = dict(execute(f"SELECT exchange_id, generation FROM search_generation WHERE {in_list('exchange_id')}", [ids]))
    insert([(exchange_id + now[exchange_id] * _GENERATION, words) for exchange_id, words in rows])


def forget(ids: Sequence[int], words: Mapping[int, list[str]]) -> None:
    """Take exchanges out of the index for good, inside the caller's transaction.

    words: exactly what is in it of them now, where that is known; SQLite's forgets nothing else.
    """
    if not is_sqlite():
        execute(f"DELETE FROM search WHERE {in_list('exchange_id')}", [id_list(ids)])
        return
    now = dict(
        execute(
            f"DELETE FROM search_generation WHERE {in_list('exchange_id')} RETURNING exchange_id, generation",
            [id_list(ids)],
        )
    )
    execute_many(
        "INSERT INTO search (search, rowid, words) VALUES ('delete', ?, ?)",
        [(i + now.get(i, 0) * _GENERATION, " ".join(words[i])) for i in ids if i in words],
    )


def digest(words: list[str]) -> int:
    """Return 64 bits that tell whether words have changed."""
    found = hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest()
    return int.from_bytes(found, "big", signed=True)


def condition(text: str) -> tuple[str, list[Any]]:
    """Return the SQL condition over exchange `e` that all words of a text are in it. Raises InvalidItem."""
    pieces = wanted(text)
    if is_sqlite():
        query = " AND ".join(f'"{word}"' + "*" * prefix for word, prefix in pieces)
        return f"e.id IN ({_CURRENT})", [query]
    query = " & ".join(f"'{word}'" + ":*" * prefix for word, prefix in pieces)
    return "e.id IN (SELECT exchange_id FROM search WHERE words @@ ?::tsquery)", [query]
