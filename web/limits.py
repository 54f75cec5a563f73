"""How often somebody may do something, counted in this process; `limits` does the counting.

Counts are of one web process: a store in common would put the queue server's health into the way of every accept.
"""

import math
import time

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

from app.errors import RateLimited

#: Failed sign-ins of one address.
FAILED_SIGN_INS: tuple[RateLimitItem, ...] = (RateLimitItemPerMinute(5), RateLimitItemPerHour(30))

_requests = SlidingWindowCounterRateLimiter(MemoryStorage())
_failures = MovingWindowRateLimiter(MemoryStorage())


def count_request(key_id: int, per_minute: int) -> None:
    """Count a request of a key. Raises RateLimited when there were `per_minute` within a minute; 0 sets no limit."""
    if not per_minute:
        return
    limit = RateLimitItemPerMinute(per_minute)
    if not _requests.hit(limit, "key", str(key_id)):
        reset = _requests.get_window_stats(limit, "key", str(key_id)).reset_time
        detail = f"this key may make {per_minute} requests a minute (INGATE_KEY_REQUESTS_PER_MINUTE)"
        raise RateLimited(detail, retry_after_s=_seconds_to(reset), limit=per_minute)


def check_sign_in(address: str) -> None:
    """Raise RateLimited when an address failed to sign in too often."""
    for limit in FAILED_SIGN_INS:
        if not _failures.test(limit, "sign-in", address):
            reset = _failures.get_window_stats(limit, "sign-in", address).reset_time
            detail = f"{limit.amount} failed tries a {limit.GRANULARITY.name}: wait until they are forgotten"
            raise RateLimited(detail, retry_after_s=_seconds_to(reset), limit=limit.amount)


def count_failed_sign_in(address: str) -> None:
    """Count a failed try to sign in."""
    for limit in FAILED_SIGN_INS:
        _failures.hit(limit, "sign-in", address)


def forget_all() -> None:
    """Forget what was counted."""
    _requests.storage.reset()
    _failures.storage.reset()


def _seconds_to(moment: float) -> int:
    return max(1, math.ceil(moment - time.time()))
