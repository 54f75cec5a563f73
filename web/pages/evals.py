"""Pages of evaluators: the list, a new one by its type, and one with its form, its results and its runs."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from quart import Blueprint, Response, redirect, request

from app import evals
from app.errors import Conflict, IngateError, InvalidItem
from app.exchange import invalid_field
from app.store import evaluators, runs, scores
from app.store.evaluators import Definition, EvaluatorRow
from app.store.runs import RunRow
from app.store.scores import ScoreView, Summary
from web.evals import EvalBody, Window, definition_of, estimate_run, start_run
from web.pages import eval_form
from web.pages.filter import ALL, WINDOWS, window_start
from web.query import cursor
from web.render import render, wants_part
from web.routing import page
from web.sessions import Viewer
from web.threads import in_thread

routes = Blueprint("eval_pages", __name__)

PAGE_ROWS, PAGE_SCORES, PAGE_RUNS = 50, 25, 10
_NOTHING = Definition(name="", type="", config="{}")


class Draft(NamedTuple):
    """The form as it is shown: an evaluator's, or what was sent and cannot be taken yet."""

    type: str
    about: str
    name: str
    enabled: bool
    #: Of the matching exchanges, in percent.
    sample_percent: str
    filter: str
    threshold: str
    fields: list[eval_form.Field]
    #: Which field the problem is about, where one is.
    problem: str = ""
    problem_field: str = ""


class Estimate(NamedTuple):
    """What a run would score, before it is started."""

    q: str
    t: str
    exchanges: int | None
    problem: str


class Results(NamedTuple):
    """What an evaluator found."""

    summary: Summary
    scores: list[ScoreView]
    next_cursor: int | None
    runs: list[RunRow]


@page(routes, "/evals", role="viewer")
async def eval_list(who: Viewer) -> Response:
    """Show the evaluators, with their newest scores in numbers."""
    rows, following, summaries = await in_thread(_listed, who.project_id, cursor())
    return await render(
        "evals/list.html",
        viewer=who,
        cursor=cursor(),
        rows=rows,
        next_cursor=following,
        summaries=summaries,
        newest=scores.SUMMARY_SCORES,
    )


@page(routes, "/evals/new", role="member")
async def new_eval(who: Viewer) -> Response:
    """Choose a type, then fill its form."""
    type_name = request.args.get("type", "")
    if type_name not in evals.TYPES:
        return await render("evals/types.html", viewer=who, types=evals.TYPES)
    return await render("evals/new.html", viewer=who, draft=_draft(_NOTHING._replace(type=type_name)))


@page(routes, "/evals", role="member", method="POST")
async def create_eval(who: Viewer) -> Response:
    """Make an evaluator."""
    form = await request.form
    try:
        row = await in_thread(evaluators.create, who.project_id, _definition(form))
    except (InvalidItem, Conflict) as error:
        return await render("evals/new.html", status=422, viewer=who, draft=_again(form, error))
    return redirect(f"/evals/{row.id}", 303)  # type: ignore[return-value]  # Quart's own Response


@page(routes, "/evals/<int:evaluator_id>", role="viewer")
async def evaluator(who: Viewer, evaluator_id: int) -> Response:
    """Show an evaluator: its results, its runs, its form."""
    return await _shown(who, evaluator_id)


@page(routes, "/evals/<int:evaluator_id>", role="member", method="POST")
async def change_eval(who: Viewer, evaluator_id: int) -> Response:
    """Change an evaluator."""
    form = await request.form
    try:
        await in_thread(evaluators.replace, who.project_id, evaluator_id, _definition(form))
    except (InvalidItem, Conflict) as error:
        return await _shown(who, evaluator_id, status=422, draft=_again(form, error))
    return redirect(f"/evals/{evaluator_id}", 303)  # type: ignore[return-value]  # Quart's own Response


@page(routes, "/evals/<int:evaluator_id>/removals", role="member", method="POST")
async def remove_eval(who: Viewer, evaluator_id: int) -> Response:
    """Remove an evaluator; its scores stay."""
    await in_thread(evaluators.delete, who.project_id, evaluator_id)
    return redirect("/evals", 303)  # type: ignore[return-value]  # Quart's own Response


@page(routes, "/evals/<int:evaluator_id>/runs", role="member", method="POST")
async def run_eval(who: Viewer, evaluator_id: int) -> Response:
    """Score the stored exchanges that match."""
    form = await request.form
    window = Window(window_start(form.get("t", "")), None)
    await in_thread(start_run, who.project_id, evaluator_id, form.get("q", ""), window)
    return redirect(f"/evals/{evaluator_id}#runs", 303)  # type: ignore[return-value]  # Quart's own Response


async def _shown(who: Viewer, evaluator_id: int, *, status: int = 200, draft: Draft | None = None) -> Response:
    row = await in_thread(evaluators.get, who.project_id, evaluator_id)
    results = await in_thread(_results, who.project_id, evaluator_id, cursor())
    estimate = await in_thread(_estimate, who.project_id, request.args) if "estimate" in request.args else None
    return await render(
        "evals/evaluator.html",
        block="rows" if cursor() else "progress",
        status=status,
        viewer=who,
        part=wants_part(),
        cursor=cursor(),
        evaluator=row,
        results=results,
        draft=draft or _draft(row.definition),
        estimate=estimate,
        windows={ALL: "Any time", **{name: label for name, (label, _) in WINDOWS.items()}},
        running=any(run.state == "running" for run in results.runs),
        newest=scores.SUMMARY_SCORES,
    )


def _listed(project_id: int, at: int | None) -> tuple[list[EvaluatorRow], int | None, dict[int, Summary]]:
    rows, following = evaluators.page(project_id, limit=PAGE_ROWS, cursor=at)
    return rows, following, scores.summaries([row.id for row in rows])


def _results(project_id: int, evaluator_id: int, at: int | None) -> Results:
    views, following = scores.of_evaluator(evaluator_id, limit=PAGE_SCORES, cursor=at)
    newest, _ = runs.listed(project_id, evaluator_id, limit=PAGE_RUNS)
    return Results(scores.summaries([evaluator_id])[evaluator_id], views, following, newest)


def _estimate(project_id: int, query: Mapping[str, str]) -> Estimate:
    q, t = query.get("q", "").strip(), query.get("t", ALL)
    try:
        return Estimate(q, t, estimate_run(project_id, q, Window(window_start(t), None)), "")
    except InvalidItem as error:
        return Estimate(q, t, None, error.detail)


def _definition(form: Mapping[str, str]) -> Definition:
    """Return the definition that a form holds. Raises InvalidItem."""
    type_name = form.get("type", "")
    sent = {
        "name": form.get("name", "").strip(),
        "type": type_name,
        "config": eval_form.read(type_name, form),
        "enabled": form.get("enabled") == "on",
        "sample_rate": _share(form.get("sample_percent", "100")),
        "filter": form.get("filter", "").strip(),
        "threshold": eval_form.number("threshold", form.get("threshold", "1")),
    }
    try:
        return definition_of(msgspec.convert(sent, EvalBody))
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None


def _share(percent: str) -> float:
    return round(eval_form.number("sample_percent", percent) / 100, 6)


def _draft(definition: Definition) -> Draft:
    return Draft(
        type=definition.type,
        about=evals.TYPES[definition.type].about,
        name=definition.name,
        enabled=definition.enabled,
        sample_percent=f"{definition.sample_rate * 100:.6g}",
        filter=definition.filter,
        threshold=f"{definition.threshold:.6g}",
        fields=eval_form.fields(definition.type, json.loads(definition.config)),
    )


def _again(form: Mapping[str, str], error: IngateError) -> Draft:
    """Return the form as it was sent, with what is wrong in it. Raises the error when not even its type is known."""
    type_name = form.get("type", "")
    if type_name not in evals.TYPES:
        raise error
    sent: list[Any] = [
        field._replace(value=form.get(f"config.{field.name}", "").replace("\r\n", "\n"))
        for field in eval_form.fields(type_name, {})
    ]
    where = (error.pointer or "").removeprefix("/config").strip("/").split("/")[0]
    # A filter is a query to the language that refuses it.
    named = {"q": "filter", "sample_rate": "sample_percent"}.get(where, where)
    return Draft(
        type=type_name,
        about=evals.TYPES[type_name].about,
        name=form.get("name", ""),
        enabled=form.get("enabled") == "on",
        sample_percent=form.get("sample_percent", ""),
        filter=form.get("filter", ""),
        threshold=form.get("threshold", ""),
        fields=sent,
        problem=error.detail,
        problem_field=named,
    )
