"""The benchmark runs: a small case has all its figures, and they are in the table."""

import subprocess
import sys

import pytest

from benchmarks import report
from benchmarks.cases import Case
from benchmarks.measure import measure
from benchmarks.running import Backend
from tests.conftest import ROOT, SERVER_DATABASE_URL, SERVER_REDIS_URL


@pytest.mark.backend
def test_a_case_has_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    row = measure(Case("batch", "small", 200), Backend("here", SERVER_DATABASE_URL, SERVER_REDIS_URL))

    assert row["accepted_per_s"] >= row["evaluated_per_s"] > 0
    assert row["evaluated_p99_ms"] >= row["evaluated_p50_ms"] > 0
    assert {"web", "worker", "queue", "evals", "load"} <= row["cpu_us"].keys()
    assert row["pss_mb"] > 0
    assert row["start_s"] > 0

    report.show([row])

    shown = capsys.readouterr().out
    assert f"{row['evaluated_per_s']:,.0f}" in shown
    assert "here, empty" in shown


def test_a_lone_exchange_is_timed_to_its_receipt() -> None:
    row = measure(Case("lone", "texts", 3), Backend("here"))

    assert row["receipt_p50_ms"] >= row["accept_p50_ms"] > 0
    assert "evaluated_p99_ms" in row
    assert "evaluated_per_s" not in row


def test_the_median_of_runs_is_taken_figure_by_figure() -> None:
    runs = [{"backend": "here", "seeded": False, "start_s": s, "cpu_us": {"web": 10 * s}} for s in (3, 1, 2)]

    assert report.median(runs) == {"backend": "here", "seeded": False, "start_s": 2, "cpu_us": {"web": 20}}


def test_a_seeded_store_is_compared_with_an_empty_one() -> None:
    rows = [
        {"backend": "here", "load": "batch", "bodies": "small", "seeded": seeded, "evaluated_per_s": rate}
        for seeded, rate in ((False, 1000.0), (True, 900.0))
    ]

    assert report.ratios(rows) == ["here, batch of small: 90% of the rate on an empty store"]


def test_stages_are_measured_in_one_process() -> None:
    command = [sys.executable, "-m", "benchmarks.stages", "--exchanges", "100"]

    table = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "step extract" in table
    assert "all of it" in table
