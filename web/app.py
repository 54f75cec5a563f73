"""The web process: `create_app` is what the ASGI server loads, in every process of its own."""

import asyncio
import contextlib

from quart import Quart

from actors.sender import Sender
from app import telemetry
from app.settings import Settings
from app.store import database
from app.store.accept import Writer
from web import (
    audit,
    batches,
    canary,
    demo,
    doors,
    errors,
    evals,
    exchanges,
    failures,
    inflight,
    ingest,
    keys,
    machine,
    pages,
    prices,
    projects,
    render,
    reprocess,
    routing,
    sessions,
    usage,
)
from web.strict import strict
from web.threads import THREADS

#: A body that drips in more slowly than this is given up.
BODY_TIMEOUT_S = 15


#: Whose routes are served, beside the pages.
MODULES = (
    ingest,
    exchanges,
    batches,
    evals,
    failures,
    keys,
    projects,
    audit,
    prices,
    reprocess,
    usage,
    machine,
    sessions,
    demo,
)


def create_app(settings: Settings | None = None) -> Quart:
    """Build the app. It connects to the database when it starts serving, and flushes what it accepted when it stops."""
    settings = settings or Settings.from_environ()
    telemetry.configure(settings.log_level)
    app = Quart(__name__, static_folder=str(render.STATIC), template_folder="../templates")
    app.config["SETTINGS"] = settings
    app.config["MAX_CONTENT_LENGTH"] = settings.max_request_bytes
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_S
    app.asgi_app = strict(doors.in_front(app))  # type: ignore[assignment,method-assign]  # as Quart's documentation says
    inflight.register(app)
    errors.register(app)
    routing.register(app)
    render.register(app)
    sessions.register(app)
    for module in MODULES:
        app.register_blueprint(module.routes)
    pages.register(app)

    @app.before_serving
    async def start() -> None:
        database.connect(
            settings.database_url, statement_timeout_s=database.BUSY_TIMEOUT_S, max_connections=THREADS + 2
        )
        sender = app.config["SENDER"] = Sender()
        writer = app.config["WRITER"] = Writer(on_commit=sender.announce)
        app.config["CANARY"] = asyncio.create_task(canary.keep_sending(writer))

    @app.after_serving
    async def stop() -> None:
        app.config["CANARY"].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await app.config["CANARY"]
        app.config["WRITER"].close()
        app.config["SENDER"].close()
        database.close()

    return app
