"""Two web processes on one database: what one decides holds in the other."""

import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers import item
from tests.web.conftest import Web, web_processes
from web.auth import BELIEVED_S as KEY_BELIEVED_S
from web.sessions import BELIEVED_S as SESSION_BELIEVED_S

pytestmark = pytest.mark.backend

#: What is promised: a revoked key is dead everywhere by then.
DEAD_S = 5.0


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Web]]:
    with web_processes(tmp_path_factory.mktemp("two"), 2) as running:
        yield running


def statuses(two: list[Web], **headers: str) -> list[int]:
    """What each process answers."""
    return [httpx.get(f"{web.url}/api/v1/logs", headers=headers).status_code for web in two]


def seconds_until(two: list[Web], wanted: list[int], **headers: str) -> float:
    began = time.monotonic()
    while statuses(two, **headers) != wanted and time.monotonic() - began < 4 * DEAD_S:
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_revoked_key_is_dead_in_all_processes_in_time(two: list[Web]) -> None:
    made = two[0].http.post("/api/v1/keys", json={"name": "gone", "role": "viewer"}).json()
    key = {"X-Ingate-Key": made["key"]}
    assert statuses(two, **key) == [200, 200]

    assert two[0].http.delete(f"/api/v1/keys/{made['id']}").status_code == 204

    assert statuses(two[:1], **key) == [401], "at once where it was revoked"
    assert seconds_until(two, [401, 401], **key) < DEAD_S
    assert KEY_BELIEVED_S < DEAD_S


def test_whoever_signs_out_or_loses_the_key_is_out_of_all_processes_in_time(two: list[Web]) -> None:
    ended = {}
    for how in ("sign-out", "key"):
        made = two[0].http.post("/api/v1/keys", json={"name": how, "role": "viewer"}).json()
        answer = httpx.post(f"{two[0].url}/sign-in", data={"key": made["key"]})
        cookie = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
        pages = [httpx.get(f"{web.url}/exchanges", headers=cookie) for web in two]
        assert [page.status_code for page in pages] == [200, 200]
        if how == "key":
            two[0].http.delete(f"/api/v1/keys/{made['id']}")
        else:
            csrf = re.findall(r'name="csrf" value="(\w+)"', pages[0].text)[0]
            assert httpx.post(f"{two[0].url}/sign-out", data={"csrf": csrf}, headers=cookie).status_code == 303
        ended[how] = (time.monotonic(), cookie)

    for how, (began, cookie) in ended.items():
        while any(httpx.get(f"{web.url}/exchanges", headers=cookie).status_code != 303 for web in two):
            assert time.monotonic() - began < DEAD_S, how
            time.sleep(0.05)
    assert SESSION_BELIEVED_S < DEAD_S


def test_a_hundred_racing_replays_are_one_exchange(two: list[Web]) -> None:
    def send(number: int) -> httpx.Response:
        web = two[number % 2]
        headers = {"X-Ingate-Key": web.key}
        return httpx.post(f"{web.url}/api/v1/ingest", json=item(request_id="race"), headers=headers, timeout=60)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(100)))

    assert {answer.status_code for answer in answers} == {202}
    assert sum("duplicate" not in answer.json() for answer in answers) == 1
    logs = two[0].http.get("/api/v1/logs", params={"q": "id:race"}).json()
    assert [row["request_id"] for row in logs["data"]] == ["race"]


def test_no_key_is_ever_logged(two: list[Web]) -> None:
    key = two[0].key
    secrets = {"header": f"sk-ingate-{'h' * 40}", "query": f"sk-ingate-{'q' * 40}", "bearer": f"sk-ingate-{'b' * 40}"}
    for web in two:
        web.http.get("/api/v1/logs", headers={"X-Ingate-Key": secrets["header"]})
        httpx.get(f"{web.url}/api/v1/logs", params={"key": secrets["query"]})
        httpx.get(f"{web.url}/api/v1/logs", headers={"Authorization": f"Bearer {secrets['bearer']}"})
        httpx.get(f"{web.url}/sign-in", params={"token": secrets["query"]})

    for web in two:
        assert [name for name, secret in {**secrets, "own": key}.items() if secret in web.output()] == []


#: A web process is gone this long after it was asked to stop.
STOP_S = 10.0


def test_a_rolling_restart_breaks_off_no_connection_and_loses_nothing(two: list[Web]) -> None:
    over, acked, broken = threading.Event(), Counter[str](), []

    def client(number: int) -> None:
        sent = 0
        while not over.is_set():
            request_id, sent = f"rolling-{number}-{sent}", sent + 1
            try:
                acked[request_id] = send_to_who_listens(two, number + sent, request_id)
            except httpx.TransportError as error:
                broken.append(repr(error))

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(client, number) for number in range(6)]
        for _ in range(2):
            for web in two:
                began = time.monotonic()
                web.process.send_signal(signal.SIGTERM)
                web.process.wait(30)
                assert time.monotonic() - began < STOP_S
                web.start()
        over.set()
    for one in clients:
        one.result()

    assert broken == []
    assert set(acked.values()) == {202}
    stored = {request_id for request_id in acked if is_stored(two[0], request_id)}
    assert stored == set(acked)


def send_to_who_listens(two: list[Web], first: int, request_id: str) -> int:
    """Send as a balancer does: to the next process when one does not listen, or stops before it reads; the status."""
    for attempt in range(200):
        web = two[(first + attempt) % 2]
        try:
            headers = {"X-Ingate-Key": web.key}
            return httpx.post(f"{web.url}/api/v1/ingest", json=item(request_id=request_id), headers=headers).status_code
        except httpx.ConnectError:
            pass
        except httpx.RemoteProtocolError as error:
            # The server (hyper) closes a connection of which it has read nothing; RFC 9110, 9.2.2 lets clients resend.
            if "without sending a response" not in str(error):
                raise
        time.sleep(0.02)
    return 0


def is_stored(web: Web, request_id: str) -> bool:
    """Whether an exchange was accepted."""
    return web.http.get(f"/api/v1/ingest/{request_id}").status_code == 200
