"""Sends the canary of app/store/canaries.py through the door that clients' exchanges take."""

import asyncio

import structlog

from app.errors import IngateError
from app.store import canaries
from app.store.accept import Writer
from web.threads import in_thread

log = structlog.get_logger()


async def keep_sending(writer: Writer) -> None:
    """Send a canary every minute, and remove old ones, until cancelled."""
    while True:
        await asyncio.sleep(canaries.INTERVAL_MS / 1000)
        try:
            await send(writer)
        except IngateError as error:
            log.warning("canary_not_sent", error=error.detail)
        except Exception:
            log.exception("canary_failed")


async def send(writer: Writer) -> None:
    """Send this minute's canary. Raises what the accept of a client's exchange would."""
    submission = await in_thread(canaries.submission)
    await writer.submit(submission)
    await in_thread(canaries.prune)
