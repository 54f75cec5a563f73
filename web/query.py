"""Reading the query string of lists: page, time window and filters. A wrong value is an error that names it."""

import datetime as dt
import re
from typing import Annotated, NamedTuple

import msgspec
from quart import request

from app import filters
from app.errors import InvalidItem
from app.filters import Term
from app.store.exchanges import check_limit
from web.routing import CURSOR, LIMIT, Parameter

TIME = {"type": "string", "format": "date-time"}
#: A field of a body that `moment` reads.
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
WINDOW = (
    Parameter("from", "received at or after", TIME),
    Parameter("to", "received before", TIME),
)
FILTERS = (
    Parameter("q", "filter language, e.g. `model:gpt-4o* status:>=400`"),
    Parameter("model", "model, `*` is a wildcard; the same as `q=model:…`"),
    Parameter("provider", "the same as `q=provider:…`"),
    Parameter("status", "status code, e.g. 200, 4xx, >=400; the same as `q=status:…`"),
)
LIST = (LIMIT, CURSOR)


class Selection(NamedTuple):
    """Which exchanges a request asks for; times in milliseconds since 1970 UTC."""

    terms: tuple[Term, ...]
    since: int | None
    until: int | None


def selection() -> Selection:
    """Read q, model, provider, status, from and to."""
    terms = list(filters.parse(request.args.get("q", "")))
    terms += [
        filters.term(name, request.args[name]) for name in ("model", "provider", "status") if request.args.get(name)
    ]
    return Selection(tuple(terms), moment("from", request.args.get("from")), moment("to", request.args.get("to")))


def limit() -> int:
    """Read `limit`."""
    return check_limit(_whole("limit", request.args.get("limit", "50")))


def cursor() -> int | None:
    """Read `cursor`; None on the first page."""
    text = request.args.get("cursor")
    return None if not text else _whole("cursor", text)


def following(cursor: int | None) -> str | None:
    """Write the cursor of the next page as the API gives it; None on the last page."""
    return None if cursor is None else str(cursor)


def moment(name: str, text: str | None) -> int | None:
    """Read an RFC 3339 time, UTC without a zone, as milliseconds since 1970. Raises InvalidItem."""
    if not text:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        parsed = dt.datetime.fromisoformat(text.replace(" ", "+") if re.search(r"T.* ", text) else text)
        return round(parsed.replace(tzinfo=parsed.tzinfo or dt.UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidItem(
            f"{name}: {text[:80]!r} is not an RFC 3339 time", error_code="wrong_type", pointer=f"/{name}"
        ) from None


def shown(milliseconds: int | None) -> str | None:
    """Write a time as the API gives it: RFC 3339, UTC, to the millisecond."""
    if milliseconds is None:
        return None
    whole = dt.datetime.fromtimestamp(milliseconds // 1000, dt.UTC).replace(tzinfo=None)
    return f"{whole.isoformat()}.{milliseconds % 1000:03d}Z"


def _whole(name: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        code = "invalid_cursor" if name == "cursor" else "wrong_type"
        raise InvalidItem(f"{name}: {text[:80]!r} is not a whole number", error_code=code, pointer=f"/{name}")
    return int(text)
