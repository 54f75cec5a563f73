"""Signed-in browsers: one-time links, sessions, and how they end. Tokens are random; only their SHA-256 is kept."""

import secrets
from typing import NamedTuple

from app.masking import Mask
from app.store import database
from app.store.database import execute, now_sql
from app.store.keys import Identity, default_project, digest

LINK_MS = 15 * 60_000
IDLE_MS = 12 * 3_600_000
LIFETIME_MS = 7 * 24 * 3_600_000
#: How often a session that is in use is written down as seen.
_SEEN_MS = 60_000


class Session(NamedTuple):
    """A new session: its token goes into the cookie and is not kept."""

    token: str
    identity: Identity


def create_link(role: str = "owner") -> str:
    """Make a link token of the default project, good once and for LINK_MS."""
    token = secrets.token_urlsafe(32)
    with database.transaction():
        execute(f"DELETE FROM sign_in_link WHERE expires_at < {now_sql().sql}")
        execute(
            f"INSERT INTO sign_in_link (digest, project_id, role, expires_at) VALUES (?, ?, ?, {now_sql().sql} + ?)",
            [digest(token), default_project(), role, LINK_MS],
        )
    return token


def follow_link(token: str) -> Session | None:
    """Turn a link into a session; None when it was used, has expired or never was."""
    with database.transaction():
        rows = execute(
            f"DELETE FROM sign_in_link WHERE digest = ? AND expires_at > {now_sql().sql} RETURNING project_id, role",
            [digest(token)],
        )
        return _start(Identity(None, rows[0][0], rows[0][1])) if rows else None


def start(identity: Identity) -> Session:
    """Start a session for the holder of a key."""
    with database.transaction():
        return _start(identity)


def find(token: str) -> Identity | None:
    """Return who a session speaks for; None when it has ended, idled out, or its key is no longer valid."""
    now = now_sql().sql
    with database.session():
        rows = execute(
            f"""SELECT s.key_id, s.project_id, s.role, p.masking, s.seen_at < {now} - {_SEEN_MS}
                  FROM login_session s LEFT JOIN project p ON p.id = s.project_id
                  LEFT JOIN api_key k ON k.id = s.key_id
                 WHERE s.digest = ? AND s.seen_at > {now} - {IDLE_MS} AND s.created_at > {now} - {LIFETIME_MS}
                   AND (s.key_id IS NULL
                        OR (k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > {now})))""",
            [digest(token)],
        )
        if not rows:
            return None
        key_id, project_id, role, masking, unseen = rows[0]
        if unseen:
            execute(f"UPDATE login_session SET seen_at = {now} WHERE digest = ?", [digest(token)])
    return Identity(key_id, project_id, role, Mask(masking or 0))


def end(token: str) -> None:
    """Sign a browser out, at once and for good."""
    with database.transaction():
        execute("DELETE FROM login_session WHERE digest = ?", [digest(token)])


def _start(identity: Identity) -> Session:
    token = secrets.token_urlsafe(32)
    now = database.now()
    execute("DELETE FROM login_session WHERE created_at < ?", [now - LIFETIME_MS])
    execute(
        "INSERT INTO login_session (digest, project_id, role, key_id, created_at, seen_at) VALUES (?, ?, ?, ?, ?, ?)",
        [digest(token), identity.project_id, identity.role, identity.key_id, now, now],
    )
    return Session(token, identity)
