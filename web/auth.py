"""Who is calling: an API key in a header, looked up by its hash, remembered for a few seconds."""

import time

from app.errors import Forbidden, InvalidRequest, Unauthenticated
from app.store import keys
from app.store.keys import Identity
from web import limits
from web.headers import Headers
from web.threads import in_thread

#: How long a valid key is believed without asking the database; a revoked key is dead everywhere after it.
BELIEVED_S = 3.0
_MAX_BELIEVED = 10_000
_MAX_KEY_CHARS = 256

_believed: dict[str, tuple[float, Identity]] = {}


async def identify(headers: Headers, role: str, per_minute: int) -> Identity:
    """Return who calls; `per_minute` requests of a key are taken, any number when it is 0.

    Raises Unauthenticated without a valid key, RateLimited when the key calls too often, Forbidden when its role does
    not include `role`.
    """
    token = _token(headers)
    identity = _remembered(token)
    if identity is None:
        identity = await in_thread(keys.verify, token)
        if identity is None:
            raise Unauthenticated("the API key is unknown, revoked or expired", error_code="invalid_key")
        _remember(token, identity)
    limits.count_request(identity.key_id or 0, per_minute)
    if not identity.reaches(role):
        raise Forbidden(f"this needs the role {role}; the key has the role {identity.role}")
    return identity


def forget_all() -> None:
    """Ask the database again for every key; called when keys change in this process."""
    _believed.clear()


def _token(headers: Headers) -> str:
    own = headers.all("X-Ingate-Key")
    if len(own) > 1:
        raise InvalidRequest("X-Ingate-Key is given twice", error_code="ambiguous_key")
    token = own[0].strip() if own else ""
    if not token:
        scheme, _, value = (headers.get("Authorization") or "").partition(" ")
        token = value.strip() if scheme.lower() == "bearer" else ""
    if not token:
        raise Unauthenticated("send an API key in the header X-Ingate-Key")
    if len(token) > _MAX_KEY_CHARS:
        raise Unauthenticated("the API key is unknown, revoked or expired", error_code="invalid_key")
    return token


def _remembered(token: str) -> Identity | None:
    found = _believed.get(token)
    return found[1] if found is not None and found[0] > time.monotonic() else None


def _remember(token: str, identity: Identity) -> None:
    if len(_believed) >= _MAX_BELIEVED:
        _believed.clear()
    _believed[token] = (time.monotonic() + BELIEVED_S, identity)
