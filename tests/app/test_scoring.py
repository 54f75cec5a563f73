"""Which exchanges an evaluator scores, and what becomes of one that breaks."""

import pytest

from app import evals, scoring
from app.evals import Evidence
from app.exchange import TokenCount
from app.extraction import Extraction
from app.store.evaluators import Definition, EvaluatorRow


def evaluator(evaluator_id: int = 1, **changes: object) -> EvaluatorRow:
    definition = Definition(name="greets", type="contains", config='{"values":["hi","you"]}')
    return EvaluatorRow(evaluator_id, 1, 3, 0, 0, definition._replace(**changes))  # type: ignore[arg-type]


def test_an_exchange_is_scored_by_the_current_version() -> None:
    row = scoring.score(evaluator(), 7, Evidence(completion="hi there"))

    assert (row.exchange_id, row.evaluator_id, row.version) == (7, 1, 3)
    assert (row.score, row.passed, row.error) == (1.0, True, None)


@pytest.mark.parametrize(("threshold", "passed"), [(1.0, False), (0.5, True), (0.0, True)])
def test_a_score_passes_from_the_threshold_on(threshold: float, passed: bool) -> None:
    both = evaluator(config='{"values":["hi","you"],"match":"all"}', threshold=threshold)

    row = scoring.score(both, 7, Evidence(completion="hi"))

    assert (row.score, row.passed) == (0.5, passed)


def test_what_cannot_be_scored_neither_passes_nor_fails() -> None:
    row = scoring.score(evaluator(type="status_code", config='{"expected":[200]}'), 7, Evidence())

    assert (row.score, row.passed, row.error) == (None, None, "status_code was not sent")


@pytest.mark.parametrize(("type_name", "config"), [("contains", "{}"), ("gone", "{}"), ("contains", "no json")])
def test_an_evaluator_that_breaks_gives_an_error_and_no_exception(type_name: str, config: str) -> None:
    row = scoring.score(evaluator(type=type_name, config=config), 7, Evidence(completion="hi"))

    assert (row.score, row.passed) == (None, None)
    assert row.error


def test_a_long_error_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def scorer(*_: str) -> None:
        raise RuntimeError("x" * 10_000)

    monkeypatch.setattr(evals, "scorer", scorer)

    assert len(scoring.score(evaluator(), 7, Evidence()).error or "") == 500


def test_sampling_is_the_same_for_the_same_request_id() -> None:
    half = evaluator(sample_rate=0.5)
    ids = [f"request-{n}" for n in range(2000)]

    first, again = ([scoring.sampled(half, i) for i in ids] for _ in range(2))

    assert first == again
    assert 900 < sum(first) < 1100


def test_two_evaluators_sample_independently() -> None:
    ids = [f"request-{n}" for n in range(2000)]

    one, two = ({i for i in ids if scoring.sampled(evaluator(n, sample_rate=0.5), i)} for n in (1, 2))

    assert 400 < len(one & two) < 600


def test_a_larger_sample_holds_the_smaller_one() -> None:
    ids = [f"request-{n}" for n in range(2000)]

    small, large = ({i for i in ids if scoring.sampled(evaluator(sample_rate=rate), i)} for rate in (0.1, 0.4))

    assert small < large


@pytest.mark.parametrize(("rate", "held"), [(0.0, 0), (1.0, 500)])
def test_the_ends_of_the_sample_rate_are_none_and_all(rate: float, held: int) -> None:
    assert sum(scoring.sampled(evaluator(sample_rate=rate), f"r{n}") for n in range(500)) == held


def test_evidence_is_what_was_extracted() -> None:
    found = Extraction(prompt="p", completion="c", system="s", token_count=TokenCount(prompt=1, completion=2, total=3))

    facts = scoring.evidence(found, status_code=200, latency_ms=1.5)

    assert facts == Evidence(
        prompt="p", completion="c", system="s", status_code=200, latency_ms=1.5, prompt_tokens=1, completion_tokens=2,
        total_tokens=3,
    )  # fmt: skip


def test_evidence_of_nothing_is_empty() -> None:
    assert scoring.evidence(Extraction(), status_code=None, latency_ms=None) == Evidence()
