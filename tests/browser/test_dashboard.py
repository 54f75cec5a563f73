"""What a new user does in a browser: sign in, send, see, open, score, retry; on a phone, by keyboard, scriptless."""

import json
import re
import subprocess

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import watch
from tests.conftest import ROOT, Ingate
from tests.helpers import item

pytestmark = pytest.mark.backend

SEED_SINGLE = {
    "provider": "openai",
    "path": "/v1/chat/completions",
    "method": "POST",
    "status_code": 200,
    "latency_ms": 432,
    "request_body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]},
    "response_body": {
        "choices": [{"message": {"content": "Hi there!"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    },
}
MESSAGES = {
    "provider": "anthropic",
    "path": "/v1/messages",
    "method": "POST",
    "status_code": 200,
    "latency_ms": 520,
    "request_body": {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Name a river."}]},
    "response_body": {
        "content": [{"type": "text", "text": "The Elbe."}],
        "usage": {"input_tokens": 9, "output_tokens": 6},
    },
}


def curl(ingate: Ingate, path: str, body: object) -> dict[str, object]:
    """Post as the seed's examples do."""
    command = ["curl", "-s", "-X", "POST", f"{ingate.url}{path}", "-H", f"X-Ingate-Key: {ingate.key}"]
    command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return dict(json.loads(subprocess.check_output(command)))


def test_a_first_exchange_appears_by_itself_and_leads_to_its_score(page: Page, ingate: Ingate) -> None:
    page.goto("/")
    expect(page.get_by_text("Waiting for the first exchange")).to_be_visible()

    curl(ingate, "/api/v1/ingest", SEED_SINGLE)
    batch = curl(ingate, "/api/v1/ingest/batch", {"exchanges": [SEED_SINGLE, MESSAGES, item(status_code="200")]})

    expect(page.get_by_text("The Elbe.")).to_be_visible(timeout=15_000)
    page.get_by_role("row").filter(has_text="Name a river.").get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Exchange")
    expect(page.get_by_text("Name a river.").first).to_be_visible()

    page.get_by_role("link", name=str(batch["batch_id"])).click()
    expect(page.get_by_text("/status_code").first).to_be_visible()
    expect(page.get_by_text(re.compile("rejected|refused")).first).to_be_visible()


def test_an_evaluator_made_in_the_browser_scores_the_next_exchange(page: Page, ingate: Ingate) -> None:
    page.goto("/evals/new")
    page.get_by_role("link", name=re.compile("^contains")).first.click()
    page.get_by_label("Name").fill("mentions a river")
    page.locator("[name='config.values'], textarea").first.fill("Elbe")
    page.get_by_role("button", name=re.compile("Make|Create|Save")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("mentions a river")

    answer = curl(ingate, "/api/v1/ingest", MESSAGES)
    ingate.receipt(str(answer["request_id"]))

    page.goto(f"/exchanges/{answer['request_id']}")
    expect(page.get_by_text("mentions a river")).to_be_visible()
    expect(page.get_by_text(re.compile(r"contains the text"))).to_be_visible()


def broken(ingate: Ingate, request_id: str) -> None:
    ingate.http.post("/api/v1/ingest", json=item(request_id=request_id))
    ingate.receipt(request_id)
    ingate.break_payload(request_id)


def test_what_failed_for_one_cause_is_retried_with_one_click(page: Page, ingate: Ingate) -> None:
    for request_id in ("broken-1", "broken-2"):
        broken(ingate, request_id)

    page.goto("/failures")
    expect(page.get_by_text("2 stopped, for 1 cause")).to_be_visible()
    page.get_by_role("link", name="ValueError").click()
    expect(page.get_by_role("link", name="broken-1")).to_be_visible()
    for request_id in ("broken-1", "broken-2"):
        ingate.mend_payload(request_id)
    page.get_by_role("button", name="Retry ValueError").click()

    expect(page.get_by_text("Nothing has failed")).to_be_visible()
    assert {ingate.receipt(one)["status"] for one in ("broken-1", "broken-2")} == {"evaluated"}


def test_a_failed_exchange_is_discarded_and_brought_back(page: Page, ingate: Ingate) -> None:
    broken(ingate, "given-up")

    page.goto("/exchanges/given-up")
    expect(page.get_by_text("the stored item cannot be read")).to_be_visible()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("this exchange was discarded")).to_be_visible()
    page.goto("/failures")
    expect(page.get_by_text("Nothing has failed")).to_be_visible()
    ingate.mend_payload("given-up")
    page.goto("/exchanges/given-up")
    page.get_by_role("button", name="Retry").click()

    page.wait_for_url("**/exchanges/given-up")
    assert ingate.receipt("given-up")["status"] == "evaluated"


def test_a_filter_is_in_the_url_and_back_undoes_it(page: Page, ingate: Ingate) -> None:
    for request_id, model in (("filter-1", "model-one"), ("filter-2", "model-two")):
        body = {"model": model, "messages": [{"role": "user", "content": f"unique{model}"}]}
        ingate.http.post("/api/v1/ingest", json=item(request_id=request_id, request_body=body))
        ingate.receipt(request_id)
    page.goto("/exchanges")

    page.get_by_label("Filter", exact=True).fill("model:model-one")
    page.keyboard.press("Enter")

    results = page.locator("#results")
    expect(results.get_by_text("uniquemodel-two")).to_have_count(0)
    expect(results.get_by_text("uniquemodel-one")).to_be_visible()
    assert "model-one" in page.url
    page.go_back()
    expect(page.locator("#results").get_by_text("uniquemodel-two")).to_be_visible()
    expect(page.get_by_role("navigation")).to_be_visible()


def test_a_wrong_filter_says_what_was_meant(page: Page) -> None:
    page.goto("/exchanges?q=modle:x")

    expect(page.get_by_role("alert").get_by_text("did you mean 'model'")).to_be_visible()
    expect(page.get_by_label("Filter", exact=True)).to_have_value("modle:x")


def test_a_key_is_shown_once_and_dies_when_revoked(page: Page, ingate: Ingate) -> None:
    page.goto("/keys")
    page.get_by_label("Name").fill("browser test")
    page.get_by_role("button", name="Make a key").click()
    token = re.search(r"sk-ingate-[\w-]{40,}", page.content())
    assert token is not None

    answer = ingate.http.post("/api/v1/ingest", json=item(), headers={"X-Ingate-Key": token.group()})
    assert answer.status_code == 202
    page.goto("/keys")
    assert token.group() not in page.content()


def test_rows_are_walked_and_opened_by_keyboard(page: Page, ingate: Ingate) -> None:
    ingate.receipt(ingate.http.post("/api/v1/ingest", json=item()).json()["request_id"])
    page.goto("/exchanges")

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(r"/exchanges/."))
    page.goto("/exchanges")
    page.keyboard.press("/")
    expect(page.get_by_label("Filter", exact=True)).to_be_focused()


def test_on_a_phone_nothing_is_wider_than_the_screen(context: BrowserContext, ingate: Ingate) -> None:
    page = context.new_page()
    page.set_viewport_size({"width": 360, "height": 740})
    for path in pages(ingate):
        page.goto(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"{path} is {width} px wide"


def test_reading_and_filtering_need_no_script(browser: Browser, ingate: Ingate, signed_in: dict[str, object]) -> None:
    ingate.receipt(ingate.http.post("/api/v1/ingest", json=item(request_id="no-script")).json()["request_id"])
    context = browser.new_context(base_url=ingate.url, storage_state=signed_in, java_script_enabled=False)  # type: ignore[arg-type]
    page = context.new_page()

    page.goto("/exchanges")
    page.get_by_label("Filter", exact=True).fill("id:no-script")
    page.get_by_role("button", name="Filter").click()
    page.locator("[data-row]").first.click()

    expect(page.get_by_text("Hi there!").first).to_be_visible()
    context.close()


def test_a_link_signs_in_once_and_signing_out_ends_it(browser: Browser, ingate: Ingate) -> None:
    link = ingate.sign_in_link()
    context = browser.new_context(base_url=ingate.url)
    page = context.new_page()

    page.goto(link)
    expect(page.get_by_role("navigation")).to_be_visible()
    kept = context.cookies()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.goto(link)
    expect(page.get_by_text("used already or has expired")).to_be_visible()
    context.add_cookies(kept)  # type: ignore[arg-type]
    page.wait_for_timeout(3100)  # a session is believed for three seconds
    page.goto("/exchanges")
    expect(page).to_have_url(re.compile("/sign-in"))
    context.close()


def test_a_key_signs_in_and_its_role_is_enforced(browser: Browser, ingate: Ingate) -> None:
    made = subprocess.run(
        [*ingate.command, "keys", "create", "reader", "--role", "viewer"],
        env=ingate.full_environ(), cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    token = made.stdout.split()[-1]
    context = browser.new_context(base_url=ingate.url)
    page = context.new_page()

    page.goto("/sign-in?next=/evals")
    page.get_by_label(re.compile("key", re.IGNORECASE)).fill(token)
    page.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(re.compile("/evals$"))
    assert page.goto("/keys").status == 403  # type: ignore[union-attr]
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, ingate: Ingate, signed_in: dict[str, object], theme: str) -> None:
    # Axe is injected as an inline script, which our CSP refuses: only its own run goes without.
    context = browser.new_context(
        base_url=ingate.url,
        storage_state=signed_in,
        color_scheme=theme,
        bypass_csp=True,
        reduced_motion="reduce",  # type: ignore[arg-type]
    )
    page = context.new_page()
    for path in pages(ingate):
        page.goto(path)
        found = Axe().run(page).response["violations"]
        assert not found, f"{path}: {[(v['id'], [n['html'][:200] for n in v['nodes']]) for v in found]}"
    context.close()


def test_no_page_breaks_the_content_security_policy(context: BrowserContext, ingate: Ingate) -> None:
    page = context.new_page()
    problems = watch(page)
    for path in pages(ingate):
        answer = page.goto(path)
        assert answer is not None
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        page.wait_for_load_state("networkidle")
    assert problems == []


def pages(ingate: Ingate) -> list[str]:
    """One of every page, with something on it."""
    batch = curl(ingate, "/api/v1/ingest/batch", {"exchanges": [SEED_SINGLE, MESSAGES, item(status_code="200")]})
    exchange = batch["items"][1]["request_id"]  # type: ignore[index]
    ingate.receipt(exchange)
    evals = ingate.http.get("/api/v1/evals").json()["data"]
    if not evals:
        body = {"name": "any", "type": "is_json"}
        evals = [ingate.http.post("/api/v1/evals", json=body).json()]
    return [
        "/sign-in", "/exchanges", "/exchanges?q=nothing-has-this-word", f"/exchanges/{exchange}", "/batches",
        f"/batches/{batch['batch_id']}", "/evals", "/evals/new", f"/evals/{evals[0]['id']}", "/failures", "/jobs",
        "/keys", "/settings",
    ]  # fmt: skip
