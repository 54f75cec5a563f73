"""The command `ingate`: run everything, run one process, or look after keys. `ingate --help` lists the rest."""

import datetime as dt
import os
import resource
import sys
from collections.abc import Sequence

import click

from actors.queues import EVALS_QUEUES, WORKER_QUEUES
from app import telemetry
from app.errors import IngateError, SettingError
from app.settings import Settings
from app.store import database, keys, sessions, usage

#: The platform's patience is 30 s; a chunk takes well under one.
WORKER_SHUTDOWN_MS = 20_000
WEB_SHUTDOWN_S = 8
#: A client that has not sent its headers by then is cut off; Quart's BODY_TIMEOUT does the same for bodies.
HEADER_TIMEOUT_MS = 10_000
#: What the web server and the workers load.
WEB_APP, WORKER_MODULE = "web.app:create_app", "actors.worker"
#: Of a web process; granian's own 1,024 are held by as many idle ones for as long as HEADER_TIMEOUT_MS, by anybody.
MAX_CONNECTIONS = 16_384
#: File descriptors that are no connections: database, queue, logs.
_OTHER_FILES = 256


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """Ingate: a self-hosted flight recorder for LLM calls."""
    try:
        context.obj = Settings.from_environ()
    except SettingError as error:
        raise click.ClickException(error.detail) from None
    telemetry.configure(context.obj.log_level)


@main.command()
@click.pass_obj
def up(settings: Settings) -> None:
    """Run web, worker, evals and, unless REDIS_URL is set, the bundled queue server."""
    from web.up import run

    sys.exit(run(settings))


@main.command()
@click.pass_obj
def web(settings: Settings) -> None:
    """Run the web process."""
    _exec(web_command(settings))


@main.command()
@click.pass_obj
def worker(settings: Settings) -> None:
    """Run the workers that extract, log and evaluate."""
    _exec(worker_command(settings))


@main.command()
@click.pass_obj
def evals(settings: Settings) -> None:  # noqa: ARG001 - the commands' common form
    """Run the worker that scores history, apart from what comes in."""
    _exec(evals_command())


@main.command()
@click.pass_obj
def migrate(settings: Settings) -> None:
    """Create or update the tables; safe to run at every start."""
    prepare(settings)


@main.command(name="sign-in")
@click.option("--role", type=click.Choice(keys.ROLES), default="owner", show_default=True)
@click.pass_obj
def sign_in(settings: Settings, role: str) -> None:
    """Print a link that signs one browser in, once."""
    with _store(settings):
        token = sessions.create_link(role)
    click.echo(link(settings, token))


@main.command()
@click.option("--url", default="", help="Address of the running Ingate; default: this machine, PORT.")
@click.option("--key", envvar="INGATE_KEY", default="", help="Member key; default: a new one, revoked afterwards.")
@click.pass_obj
def demo(settings: Settings, url: str, key: str) -> None:
    """Load example exchanges through the public API."""
    from web.demo import load

    with _store(settings):
        load(settings, url, key)


@main.command()
@click.option("--q", default="", help="Filter language, e.g. `model:gpt-4o* is:unpriced`; default: every exchange.")
@click.option("--since", default="", help="RFC 3339; received at or after.")
@click.option("--until", default="", help="RFC 3339; received before.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Change it without asking.")
@click.pass_obj
def reprocess(settings: Settings, *, q: str, since: str, until: str, dry_run: bool, yes: bool) -> None:
    """Read and price stored exchanges again: show what changes, ask, change it."""
    from web.reprocess_cli import reprocess

    with _store(settings):
        reprocess(q, since, until, dry_run=dry_run, yes=yes)


@main.command(name="rebuild-usage")
@click.pass_obj
def rebuild_usage(settings: Settings) -> None:
    """Sum usage, users and sessions up again; what is sent meanwhile waits, and is told to come again after 5 s."""
    with _store(settings):
        for project_id in usage.rebuild():
            click.echo(f"project {project_id} keeps its sums: its exchanges have begun to expire")


@main.command()
def config() -> None:
    """List every setting, its default and what it is."""
    for variable, default, about in Settings.table():
        click.echo(f"{variable:26} {default:12} {about}")


@main.group(name="keys")
def keys_group() -> None:
    """Look after the API keys of the default project."""


@keys_group.command(name="create")
@click.argument("name")
@click.option("--role", type=click.Choice(keys.ROLES), default="member", show_default=True)
@click.pass_obj
def keys_create(settings: Settings, name: str, role: str) -> None:
    """Make a key and print it: the only time that it is shown."""
    with _store(settings):
        info, token = keys.create(name=name, role=role, actor="cli")
    click.echo(f"key {info.id} ({role}), shown once:\n{token}")


@keys_group.command(name="list")
@click.pass_obj
def keys_list(settings: Settings) -> None:
    """List the keys."""
    with _store(settings):
        found = keys.listed()
    click.echo(f"{'id':>4}  {'role':8} {'key':18} {'created':20} {'state':8} name")
    for key in found:
        state = "revoked" if key.revoked_at else "valid"
        created = dt.datetime.fromtimestamp(key.created_at / 1000, dt.UTC)
        click.echo(f"{key.id:>4}  {key.role:8} {key.prefix + '…':18} {created:%Y-%m-%d %H:%M} UTC {state:8} {key.name}")


@keys_group.command(name="revoke")
@click.argument("key_id", type=int)
@click.pass_obj
def keys_revoke(settings: Settings, key_id: int) -> None:
    """Revoke a key; running processes refuse it within seconds."""
    with _store(settings):
        keys.revoke(key_id, actor="cli")
    click.echo(f"key {key_id} is revoked")


def web_command(settings: Settings) -> list[str]:
    """Return the module that serves the web process, and its arguments; this process's limit of open files is its."""
    connections = _open_files(MAX_CONNECTIONS + _OTHER_FILES) - _OTHER_FILES
    return [
        "granian", "--interface", "asgi", "--factory", "--host", settings.host, "--port", str(settings.port),
        "--workers", str(settings.web_concurrency), "--http", "1", "--no-ws", "--log-level", "warning",
        "--http1-header-read-timeout", str(HEADER_TIMEOUT_MS), "--workers-kill-timeout", str(WEB_SHUTDOWN_S),
        "--backpressure", str(connections), WEB_APP,
    ]  # fmt: skip


def worker_command(settings: Settings) -> list[str]:
    """Return the module that runs the workers, and its arguments."""
    return _dramatiq(settings.worker_processes, settings.worker_threads, WORKER_QUEUES)


def evals_command() -> list[str]:
    """Return the module that runs the worker of runs, and its arguments."""
    return _dramatiq(1, 1, EVALS_QUEUES)


def link(settings: Settings, token: str) -> str:
    """Write a sign-in link."""
    base = settings.url or f"http://127.0.0.1:{settings.port}"
    return f"{base}/sign-in?token={token}"


def prepare(settings: Settings) -> None:
    """Create or update the tables, and the owner key of a deploy that is configured by variables."""
    if settings.database_url.startswith("sqlite:"):
        settings.data.mkdir(parents=True, exist_ok=True)
    with _store(settings):
        for name in database.migrate():
            click.echo(f"migrated: {name}")
        if settings.bootstrap_key:
            keys.ensure(settings.bootstrap_key)


class _store:  # noqa: N801 - a context manager that reads like a function
    """The database for one command; our errors end it with their sentence."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> None:
        database.connect(self._settings.database_url)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        database.close()
        if isinstance(error, IngateError):
            raise click.ClickException(error.detail) from None


def _dramatiq(processes: int, threads: int, queues: Sequence[str]) -> list[str]:
    return [
        "actors", WORKER_MODULE, "--processes", str(processes), "--threads", str(threads), "--queues", *queues,
        "--worker-shutdown-timeout", str(WORKER_SHUTDOWN_MS), "--skip-logging",
    ]  # fmt: skip


def _open_files(wanted: int) -> int:
    """Raise the limit of open files as far as the system lets us; return what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)


def _exec(command: Sequence[str]) -> None:
    """Become another program, so that signals reach it and not a wrapper."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - our own interpreter and words
