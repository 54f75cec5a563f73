"""The search index: SQLite FTS5 (contentless, no positions) or a PostgreSQL tsvector with GIN.

A contentless FTS5 table forgets words only when it is given them back, and nobody has the old ones. So `replace` puts
the new words under a new rowid of the same exchange, and what is found under an older one does not count. The old words
stay in the index as dead weight; it grows only where texts are really read differently. `forget` is for who has them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from app.search import wanted
from app.store.database import copy, execute, execute_many, id_list, in_list, is_sqlite
from app.store.streams import Stream

#: On SQLite, rowid = exchange id + generation * _GENERATION.
_GENERATION = 1 << 41

#: On SQLite, to ask for one rowid takes as long as to read so many one after the other.
_SPREAD = 250
#: PostgreSQL finds a word that many exchanges hold faster by reading the newest of them.
_AHEAD = 5_000


def insert(rows: Sequence[tuple[int, list[str]]], *, new: bool = False) -> None:
    """Index the words of exchanges, inside the caller's transaction; `new`: none of them can be there already."""
    if not rows:
        return
    if is_sqlite():
        execute_many("INSERT INTO search (rowid, words) VALUES (?, ?)", [(i, " ".join(words)) for i, words in rows])
    elif not new:
        execute_many(
            "INSERT INTO search (exchange_id, words) VALUES (?, array_to_tsvector(?)) ON CONFLICT DO NOTHING", rows
        )
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


def query(texts: Sequence[str]) -> str:
    """Return the index's own query for exchanges that hold all words of the texts. Raises InvalidItem."""
    pieces = [piece for text in texts for piece in wanted(text)]
    if is_sqlite():
        return " AND ".join(f'"{word}"' + "*" * prefix for word, prefix in pieces)
    return " & ".join(f"'{word}'" + ":*" * prefix for word, prefix in pieces)


def streams(texts: Sequence[str]) -> list[Stream]:
    """Return where the exchanges that hold all words of the texts are, and only these. Raises InvalidItem."""
    asked = query(texts)
    if not is_sqlite():
        return [Stream("search s", "s.exchange_id", "s.words @@ ?::tsquery", [asked], ahead=_AHEAD)]
    return [
        Stream("search s", "s.rowid", f"s.search MATCH ? AND {current}", [asked], offset)
        for offset, current in _generations()
    ]


def condition(texts: Sequence[str], among: Sequence[int]) -> tuple[str, list[Any]]:
    """Return the SQL condition that exchange `e`, one of `among`, holds all words of the texts. Raises InvalidItem.

    among: ids in descending order.
    """
    asked = query(texts)
    if not is_sqlite():
        # A scalar subquery, since of a join the planner could make one with all that holds the words.
        return "coalesce((SELECT s.words @@ ?::tsquery FROM search s WHERE s.exchange_id = e.id), false)", [asked]
    if not among:
        return "0", []
    generations = _generations()
    if among[0] - among[-1] > _SPREAD * len(among):
        rowid = f"e.id + {_GENERATION} * {_generation_of('e.id')}" if len(generations) > 1 else "e.id"
        return f"EXISTS (SELECT 1 FROM search s WHERE s.search MATCH ? AND s.rowid = {rowid})", [asked]
    sqls, params = [], []
    for offset, current in generations:
        sqls.append(
            f"""SELECT s.rowid - {offset} FROM search s
                 WHERE s.search MATCH ? AND s.rowid BETWEEN ? AND ? AND {current}"""
        )
        params += [asked, among[-1] + offset, among[0] + offset]
    return f"e.id IN ({' UNION ALL '.join(sqls)})", params


def _generations() -> list[tuple[int, str]]:
    """Return the generations that SQLite's index `s` may hold: what each adds to its exchanges' ids, and the condition
    that a row is its exchange's newest.
    """
    last = execute("SELECT max(generation) FROM search_generation")[0][0]
    if last is None:
        return [(0, "1 = 1")]
    offsets = [generation * _GENERATION for generation in range(last + 1)]
    return [(offset, f"{_generation_of(f's.rowid - {offset}')} = {offset // _GENERATION}") for offset in offsets]


def _generation_of(exchange_id: str) -> str:
    return f"coalesce((SELECT g.generation FROM search_generation g WHERE g.exchange_id = {exchange_id}), 0)"
