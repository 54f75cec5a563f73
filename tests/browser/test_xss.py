"""Strangers' texts are text on every page: nothing of them runs, loads or becomes an element, in a real Chromium.

Every payload goes through every field that a client or a person can set. Two things are held: the skeleton of a page
(its elements and the names of their attributes) has nothing that harmless texts do not give it, and in a browser whose
Content-Security-Policy is switched off no payload runs. What the policy would stop is found, too, that way.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import watch
from tests.browser.payloads import HARMLESS, KINDS, PAYLOADS, whole
from tests.conftest import Ingate, wait_until

pytestmark = pytest.mark.backend

TABS = ("", "?tab=request", "?tab=response", "?tab=metadata")
#: Pages whose parts are fixed.
FIXED = (
    "/exchanges", "/batches", "/evals", "/evals/new", "/evals/new?type=contains", "/failures", "/jobs", "/keys",
    "/sign-in", "/nothing",
)  # fmt: skip
#: Payloads that share one exchange, for pages that are opened for real.
GROUP = 64
#: Payloads of a batch: times the kinds of exchange they are at most a thousand items.
ONE_BATCH = 190

#: Counts what runs. Init scripts are not subject to the policy.
SENTINEL = (
    "window.ran = 0; window.xss = () => { window.ran += 1 }; window.alert = window.prompt = window.confirm = window.xss"
)
#: Fetches pages and returns their skeletons: every element with the names of its attributes, and URLs that lead away.
SKELETONS = """async (paths) => {
  const URLS = new Set(["href", "src", "action", "formaction", "data", "poster", "hx-get", "hx-post", "xlink:href"]);
  const found = {};
  const skeleton = (html) => {
    const seen = new Set();
    const walk = (root) => root.querySelectorAll("*").forEach((element) => {
      seen.add(element.localName);
      for (const { name, value } of element.attributes) {
        seen.add(`${element.localName} ${name}`);
        if (!URLS.has(name)) continue;
        const link = (element.rel || "").includes("noreferrer");
        if (link ? !/^https?:/i.test(value) : !/^([/](?![/\\\\])|#)/.test(value)) seen.add(`${name} leads to ${value}`);
      }
      if (element.content instanceof DocumentFragment) walk(element.content);
    });
    walk(new DOMParser().parseFromString(html, "text/html"));
    return [...seen];
  };
  const next = async () => {
    for (let path; (path = paths.shift()); ) {
      const headers = path.startsWith("part:") ? { "HX-Request": "true", "HX-Request-Type": "partial" } : {};
      const answer = await fetch(path.replace("part:", ""), { headers });
      found[path] = answer.status >= 500 ? [`status ${answer.status}`] : skeleton(await answer.text());
    }
  };
  await Promise.all([...Array(6)].map(next));
  return found;
}"""


class Planted:
    """Everything that one list of texts was planted in, and the paths of all pages that show it."""

    def __init__(self, ingate: Ingate, name: str, texts: list[str]) -> None:
        self._http = ingate.http
        self.name = name
        self.exchanges = {f"{name}.{kind.__name__}.{n}": whole(kind, f"{name}.{kind.__name__}.{n}", text)
                          for kind in KINDS for n, text in enumerate(texts)}  # fmt: skip
        self.evaluators = [self._evaluator(n, text) for n, text in enumerate(texts)]
        self._send(list(self.exchanges.values()))
        for number, text in enumerate(texts):
            self._key(number, text)
        refused = [{"request_id": text, "prompt": "x", "tags": {text: 7}} for text in texts]
        self.refused = self._http.post("/api/v1/ingest/batch", json={"exchanges": refused}).json()["batch_id"]
        self.texts = texts

    def _send(self, items: list[dict[str, Any]]) -> None:
        told = self._http.post("/api/v1/ingest/batch", json={"exchanges": items}).json()
        assert told["accepted"] == len(items), [one for one in told["items"] if not one["accepted"]][:3]
        self.batch = told["batch_id"]

    def _evaluator(self, number: int, text: str) -> int:
        user = json.dumps(printable(text), ensure_ascii=False)
        body = {
            "name": printable(f"{number} {self.name} {text}")[:100],
            "type": "not_contains",
            "config": {"values": [text]},
            "filter": f"user:{user}" if len(user) < 1900 else "",
            # All are shown, a few score: each score takes its time.
            "enabled": number % 40 == 0,
        }
        answer = self._http.post("/api/v1/evals", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def _key(self, number: int, text: str) -> None:
        answer = self._http.post("/api/v1/keys", json={"name": printable(f"{number} {text}")[:100], "role": "viewer"})
        assert answer.status_code == 201, answer.text

    def done(self) -> bool:
        found = self._http.get(f"/api/v1/batches/{self.batch}").json()
        return bool(found["pending"] == 0)

    def stored_pages(self) -> list[str]:
        """Pages of what is stored: conversations, of some another tab as htmx asks for it, evaluators."""
        paths = [f"/exchanges/{request_id}" for request_id in self.exchanges]
        paths += [f"part:/exchanges/{one}{TABS[1 + n % 3]}" for n, one in enumerate(self.exchanges) if n % 4 == 0]
        return paths + [f"/evals/{evaluator}" for evaluator in self.evaluators]

    def asked_pages(self) -> list[str]:
        """Pages that show what is asked."""
        paths = []
        for text in self.texts:
            fields = dict.fromkeys(("q", "model", "provider", "status", "t", "from", "to"), text)
            paths += [f"/exchanges?{urlencode(fields)}", f"part:/exchanges?{urlencode({'q': text})}"]
            paths += [f"/sign-in?{urlencode({'next': f'/{text}', 'token': text[:200]})}"]
            paths += [f"/{place}/{quote(text, safe='')}?{urlencode({'q': text})}" for place in ("exchanges", "nothing")]
            paths += [
                f"/batches/{self.refused}?{urlencode({'state': text})}",
                f"/evals/new?{urlencode({'type': text})}",
            ]
        return paths

    def batch_pages(self) -> list[str]:
        """Its batches."""
        return [f"/batches/{self.batch}", f"/batches/{self.refused}"]


def printable(text: str) -> str:
    """Names are printable: no other text is taken."""
    return "".join(letter for letter in text if letter.isprintable()) or "-"


def lists(page: Page, ingate: Ingate) -> list[str]:
    """Every page of every list."""
    batches = [row["batch_id"] for row in ingate.http.get("/api/v1/batches").json()["data"]]
    causes = [row["fingerprint"] for row in ingate.http.get("/api/v1/failures").json()["data"]]
    found, waiting = [], ["/exchanges", "/batches", "/evals", "/failures", "/jobs", "/keys"]
    waiting += [f"/batches/{one}" for one in batches] + [f"/failures/{one}" for one in causes]
    while waiting:
        path = waiting.pop()
        found += [path, f"part:{path}"]
        script = "async (path) => new DOMParser().parseFromString(await (await fetch(path)).text(), 'text/html')"
        script += ".querySelector('#more a, .after a')?.getAttribute('href')"
        older = page.evaluate(script, path)
        if older and older not in found:
            waiting.append(older)
    return found


@pytest.fixture(scope="module")
def known(browser: Browser, ingate: Ingate, signed_in: dict[str, object]) -> set[str]:
    """What pages are made of while only harmless texts are stored, enough of them for a second page of each list."""
    harmless = Planted(ingate, "harmless", list(HARMLESS) * 9)
    wait_until(harmless.done, seconds=120, why=ingate.output)
    fail(ingate, next(iter(harmless.exchanges)))
    context = browser.new_context(base_url=ingate.url, storage_state=signed_in)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/exchanges")
    paths = [*FIXED, *lists(page, ingate), *harmless.stored_pages(), *harmless.asked_pages()[:100]]
    found = page.evaluate(SKELETONS, paths)
    context.close()
    return {part for parts in found.values() for part in parts}


@pytest.fixture(scope="module")
def planted(ingate: Ingate, known: set[str]) -> dict[str, Planted]:
    """Payloads one by one, and in groups, all worked on."""
    joined = ["\n".join(PAYLOADS[at : at + GROUP]) for at in range(0, len(PAYLOADS), GROUP)]
    found = {"joined": Planted(ingate, "joined", joined)}
    for at in range(0, len(PAYLOADS), ONE_BATCH):
        found[f"single{at}"] = Planted(ingate, f"single{at}", PAYLOADS[at : at + ONE_BATCH])
    wait_until(lambda: all(one.done() for one in found.values()), seconds=120, why=ingate.output)
    fail(ingate, "joined.chat.0")
    return found


def fail(ingate: Ingate, request_id: str) -> None:
    """Let a step of an exchange fail; it can be read all the same."""
    ingate.break_payload(request_id)
    ingate.mend_payload(request_id)


@pytest.fixture
def unguarded(browser: Browser, ingate: Ingate, signed_in: dict[str, object]) -> Iterator[BrowserContext]:
    """A window whose Content-Security-Policy is switched off, which counts what runs."""
    context = browser.new_context(base_url=ingate.url, storage_state=signed_in, bypass_csp=True)  # type: ignore[arg-type]
    context.add_init_script(SENTINEL)
    yield context
    context.close()


def watched(context: BrowserContext, ingate: Ingate) -> tuple[Page, list[str]]:
    """A page, and all that a payload did on it."""
    page, done = context.new_page(), []

    def dismiss(dialog: Any) -> None:
        done.append(f"dialog on {page.url}")
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("pageerror", lambda error: done.append(f"error on {page.url}: {error}"))
    page.on("popup", lambda popup: done.append(f"popup on {page.url}: {popup.url}"))
    page.on(
        "request",
        lambda sent: (
            None if sent.url.startswith((ingate.url, "data:")) else done.append(f"{page.url} asked {sent.url}")
        ),
    )
    return page, done


def test_no_payload_becomes_an_element_or_an_attribute(
    unguarded: BrowserContext, ingate: Ingate, known: set[str], planted: dict[str, Planted]
) -> None:
    page, done = watched(unguarded, ingate)
    page.goto("/exchanges")
    singles = [one for name, one in planted.items() if name != "joined"]
    paths = [path for one in singles for path in (*one.stored_pages(), *one.asked_pages())]

    found = page.evaluate(SKELETONS, paths + lists(page, ingate))

    assert len(found) > len(PAYLOADS) * len(KINDS) * 2
    new = {path: sorted(set(parts) - known) for path, parts in found.items()}
    assert {path: parts for path, parts in new.items() if parts} == {}
    assert (page.evaluate("window.ran"), done) == (0, [])


def opened(page: Page, planted: dict[str, Planted]) -> Iterator[Page]:
    """Open every kind of page with payloads on it."""
    joined = planted["joined"]
    tabs = [f"/exchanges/{one}{TABS[1 + n % 3]}" for n, one in enumerate(joined.exchanges) if n % 3 == 0]
    paths = [*(f"/exchanges/{request_id}?messages=all" for request_id in joined.exchanges), *tabs]
    batches = [path for one in planted.values() for path in one.batch_pages()]
    evaluators = [f"/evals/{one}" for one in joined.evaluators]
    for path in (*paths, *joined.asked_pages(), *batches, *FIXED, *evaluators):
        page.goto(path.removeprefix("part:"), wait_until="domcontentloaded")
        yield page


def test_no_payload_runs_where_it_is_shown(
    unguarded: BrowserContext, ingate: Ingate, planted: dict[str, Planted]
) -> None:
    page, done = watched(unguarded, ingate)

    ran = sum(page.evaluate("window.ran") for page in opened(page, planted))

    assert (ran, done) == (0, [])


def test_no_payload_runs_in_the_parts_that_htmx_puts_in_place(
    unguarded: BrowserContext, ingate: Ingate, planted: dict[str, Planted]
) -> None:
    page, done = watched(unguarded, ingate)
    for request_id in list(planted["joined"].exchanges)[::5]:
        page.goto(f"/exchanges/{request_id}")
        for tab in ("request", "response", "metadata", "conversation"):
            page.locator(f"#tab-{tab}").click()
            page.wait_for_selector(f"#tab-{tab}[aria-current=page]")
    page.goto("/exchanges")
    for shown in (100, 150, 200):
        page.locator("#more a").click()
        page.wait_for_function(f"document.querySelectorAll('[data-row]').length == {shown}")
    for payload in PAYLOADS[::20]:
        with page.expect_response(lambda answer: "/exchanges?" in answer.url):
            page.get_by_label("Filter", exact=True).fill(payload)
            page.keyboard.press("Enter")

    assert (page.evaluate("window.ran"), done) == (0, [])


def test_the_policy_is_not_once_needed(context: BrowserContext, planted: dict[str, Planted]) -> None:
    page = context.new_page()
    problems = watch(page)

    count = sum(1 for _ in opened(page, planted))

    # That a page was not found is told on the console, too.
    assert [problem for problem in problems if "Failed to load resource" not in problem] == []
    assert count > len(KINDS) * len(PAYLOADS) // GROUP


def test_the_net_catches(unguarded: BrowserContext, ingate: Ingate) -> None:
    page, done = watched(unguarded, ingate)
    page.goto("/sign-in")

    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=xss()><img src=//evil.example/x.png>')"
    )
    page.wait_for_function("window.ran == 1")

    assert any("evil.example" in one for one in done)
