"""The filter of the list of exchanges: the URL is its state, and what is wrong in it is shown beside the field."""

import time
from typing import NamedTuple
from urllib.parse import urlencode

from quart import request

from app.errors import InvalidItem
from web.query import Selection, selection

#: Time windows by their name in the URL.
WINDOWS = {
    "15m": ("Last 15 minutes", 15 * 60_000),
    "1h": ("Last hour", 3_600_000),
    "24h": ("Last 24 hours", 24 * 3_600_000),
    "7d": ("Last 7 days", 7 * 24 * 3_600_000),
    "30d": ("Last 30 days", 30 * 24 * 3_600_000),
}
ALL = "all"
STATUSES = {"2xx": "2xx success", "4xx": "4xx client error", "5xx": "5xx server error"}
_FIELDS = ("q", "model", "provider", "status", "t", "from", "to")


class ListFilter(NamedTuple):
    """What the filter's fields hold, and what it means: no `selection` where it is wrong, and `problem` says why."""

    values: dict[str, str]
    selection: Selection | None
    problem: str | None

    @property
    def active(self) -> bool:
        """Whether it narrows the list."""
        return any(value for name, value in self.values.items() if (name, value) != ("t", ALL))

    @property
    def windows(self) -> dict[str, str]:
        """The time windows to choose from."""
        return {name: label for name, (label, _) in WINDOWS.items()}

    @property
    def statuses(self) -> dict[str, str]:
        """The statuses to choose from; one that the URL holds stays a choice."""
        own = self.values["status"]
        return STATUSES | ({own: own} if own and own not in STATUSES else {})

    def providers(self, known: list[str]) -> list[str]:
        """The providers to choose from; one that the URL holds stays a choice."""
        own = self.values["provider"]
        return known + ([own] if own and own not in known else [])

    def url(self, **changes: object) -> str:
        """Return the URL of the list with this filter and some changes."""
        wanted = {name: value for name, value in {**self.values, **changes}.items() if value not in ("", None)}
        return "/exchanges" + (f"?{urlencode(wanted)}" if wanted else "")


def read_filter() -> ListFilter:
    """Read the filter from the query string."""
    values = {name: request.args.get(name, "").strip() for name in _FIELDS}
    try:
        return ListFilter(values, _selection(values["t"]), None)
    except InvalidItem as error:
        return ListFilter(values, None, error.detail)


def window_start(window: str) -> int | None:
    """Return when a time window begins, in milliseconds since 1970; None when it never did. Raises InvalidItem."""
    if window in ("", ALL):
        return None
    if window not in WINDOWS:
        raise InvalidItem(f"time: one of {', '.join(WINDOWS)}, {ALL}", error_code="wrong_type", pointer="/t")
    return int(time.time() * 1000) - WINDOWS[window][1]


def _selection(window: str) -> Selection:
    chosen, since = selection(), window_start(window)
    return chosen if since is None else chosen._replace(since=since, until=None)
