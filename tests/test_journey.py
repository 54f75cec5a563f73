"""The journey of an exchange through real HTTP and real processes, and what happens when these are killed."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Ingate, wait_until
from tests.helpers import item

pytestmark = pytest.mark.backend


def test_an_accepted_exchange_is_evaluated_and_read_back(ingate: Ingate) -> None:
    evaluator = {"name": "greets", "type": "contains", "config": {"values": ["hi"]}}
    assert ingate.http.post("/api/v1/evals", json=evaluator).status_code == 201

    answer = ingate.http.post("/api/v1/ingest", json=item(request_id="journey-1"))

    assert (answer.status_code, answer.json()) == (202, {"request_id": "journey-1", "status": "accepted"})
    assert ingate.receipt("journey-1")["status"] == "evaluated"
    log = ingate.http.get("/api/v1/logs/journey-1").json()
    assert (log["model"], log["prompt"], log["completion"]) == ("gpt-4o-mini", "Hello", "Hi there!")
    assert [(s["evaluator"], s["score"], s["passed"]) for s in log["scores"]] == [("greets", 1.0, True)]


def test_a_batch_is_evaluated_item_by_item(ingate: Ingate) -> None:
    items = [item(request_id=f"batch-{n}") for n in range(250)]
    items[7] = item(status_code="200")

    answer = ingate.http.post("/api/v1/ingest/batch", json={"exchanges": items})

    assert answer.status_code == 202
    batch = f"/api/v1/batches/{answer.json()['batch_id']}"
    wait_until(lambda: ingate.http.get(batch).json()["pending"] == 0)
    progress = ingate.http.get(batch, params={"limit": 200}).json()
    assert (progress["evaluated"], progress["rejected"], progress["size"]) == (249, 1, 250)
    assert progress["items"][7]["error"]["pointer"] == "/status_code"


def test_killed_workers_and_queue_lose_nothing(ingate: Ingate) -> None:
    ids = [f"kill-{n}" for n in range(600)]
    for start in range(0, 600, 100):
        part = [item(request_id=request_id) for request_id in ids[start : start + 100]]
        assert ingate.http.post("/api/v1/ingest/batch", json={"exchanges": part}).status_code == 202
        if start == 200:
            ingate.kill("worker")
        if start == 400 and not ingate.environ["REDIS_URL"]:
            ingate.kill("queue")

    wait_until(lambda: not ingate.http.get("/api/v1/logs?q=is:pending").json()["data"], seconds=60, why=ingate.output)
    assert {ingate.receipt(request_id)["status"] for request_id in ids} == {"evaluated"}


def test_the_next_start_goes_on_where_it_was(ingate: Ingate) -> None:
    ingate.http.post("/api/v1/ingest", json=item(request_id="before-stop"))

    started = time.monotonic()
    assert ingate.stop() == 0
    assert time.monotonic() - started < 10
    ingate.start()

    assert ingate.receipt("before-stop")["status"] == "evaluated"


def test_history_is_scored_by_a_run(ingate: Ingate) -> None:
    ingate.http.post("/api/v1/ingest", json=item(request_id="history-1"))
    ingate.receipt("history-1")
    config = {"name": "short", "type": "max_length", "config": {"characters": 5}, "enabled": False}
    evaluator = ingate.http.post("/api/v1/evals", json=config).json()["id"]
    runs = f"/api/v1/evals/{evaluator}/runs"

    estimate = ingate.http.post(runs, json={"q": "id:history-1", "dry_run": True}).json()
    run = ingate.http.post(runs, json={"q": "id:history-1"}).json()

    assert estimate["exchanges"] == 1
    wait_until(lambda: ingate.http.get(f"{runs}/{run['run_id']}").json()["state"] == "done")
    scores = ingate.http.get(f"/api/v1/evals/{evaluator}/scores").json()["data"]
    assert [(score["request_id"], score["score"]) for score in scores] == [("history-1", 0.0)]


def test_the_curl_of_the_readme_works_as_it_is_pasted(ingate: Ingate) -> None:
    readme = (ROOT / "README.md").read_text()
    command = re.search(r"```bash\n(curl .*?/api/v1/ingest \\.*?)```", readme, re.DOTALL)
    assert command is not None, "the README shows no curl"
    pasted = command.group(1).replace("localhost:8000", f"127.0.0.1:{ingate.port}").replace("$INGATE_KEY", ingate.key)

    answer = json.loads(subprocess.check_output(["bash", "-c", pasted], cwd=ROOT))

    assert answer["status"] == "accepted"
    assert ingate.receipt(answer["request_id"], wait=2)["status"] == "evaluated"


def test_a_second_ingate_on_the_same_data_is_refused(ingate: Ingate) -> None:
    folder = Path(ingate.environ["INGATE_DATA"])
    second = subprocess.run(
        [sys.executable, "-m", "web", "up"],
        cwd=ROOT,
        env={"INGATE_DATA": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (second.returncode, "runs already" in second.stderr) == (1, True)


def test_words_are_found_in_any_script(ingate: Ingate) -> None:
    texts = {"words-1": "Frühling im Café Müller", "words-2": "日本の児童文学を一冊", "words-3": "refund policy, now"}
    for request_id, text in texts.items():
        message = {"model": "m", "messages": [{"role": "user", "content": text}]}
        ingate.http.post("/api/v1/ingest", json=item(request_id=request_id, request_body=message))
        ingate.receipt(request_id)

    def found(query: str) -> list[str]:
        rows = ingate.http.get("/api/v1/logs", params={"q": query}).json()["data"]
        return [row["request_id"] for row in rows]

    assert found("cafe MULLER") == ["words-1"]
    assert found("児童") == found("冊") == ["words-2"]
    assert found('"policy refund"') == found("refun*") == ["words-3"]
    assert found("refund -policy") == []
