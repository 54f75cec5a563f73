"""`ingate reprocess`: start runs, follow them, and show what they change. The evals process does the work."""

import time

import click
import msgspec

from app.store import database, keys
from app.store import reprocess as runs
from app.store.reprocess import RunRow
from web.evals import Window
from web.query import moment
from web.reprocess import start

_POLL_S = 0.2
#: A run that has not begun by then waits for a process that may not be there.
_PATIENCE_S = 10


def reprocess(q: str, since: str, until: str, *, dry_run: bool, yes: bool) -> None:
    """Show what reading the default project's exchanges again changes; then, if that is wanted, change it."""
    window = Window(moment("since", since), moment("until", until))
    with database.transaction():
        project_id = keys.default_project()
    report = _followed(start(project_id, q, window, dry_run=True, actor="cli"))
    _show(report)
    if dry_run or report.fields == "{}":
        return
    if not yes:
        click.confirm("Change these rows?", abort=True)
    _show(_followed(start(project_id, q, window, dry_run=False, actor="cli")))


def _followed(run: RunRow) -> RunRow:
    """Wait for a run and show how far it is; Ctrl-C leaves it running."""
    began, warned = time.monotonic(), False
    with click.progressbar(length=run.total, label=f"{'dry run' if run.dry_run else 'run'} {run.id}") as bar:
        while True:
            now = runs.get(run.project_id, run.id)
            bar.update(min(now.processed, run.total) - bar.pos)
            if now.state == "done":
                return now
            if now.state != "running":
                raise click.ClickException(f"the run has {now.state}: {now.reason}")
            if not (now.processed or warned) and time.monotonic() - began > _PATIENCE_S:
                click.echo("\nwaiting for the evals process: is Ingate running?", err=True)
                warned = True
            time.sleep(_POLL_S)


def _show(run: RunRow) -> None:
    would = "would change" if run.dry_run else "changed"
    unread = f", {run.failed} could not be read" if run.failed else ""
    click.echo(f"{run.processed} exchanges read{unread}; {run.changed} {would}")
    for name, rows in sorted(msgspec.json.decode(run.fields, type=dict[str, int]).items()):
        click.echo(f"  {name:24} {rows:>9}")
    click.echo(f"cost: {run.cost_before:.6f} -> {run.cost_after:.6f} USD ({run.cost_after - run.cost_before:+.6f})")
