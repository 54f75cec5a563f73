"""Which exchanges an evaluator scores, and what it says. Pure: the store brings rows, the actors keep scores."""

import hashlib

import structlog

from app import evals
from app.evals import Evidence
from app.exchange import TokenCount
from app.extraction import Extraction
from app.masking import mask_text
from app.store.evaluators import EvaluatorRow
from app.store.scores import ScoreRow

log = structlog.get_logger()


def sampled(evaluator: EvaluatorRow, request_id: str) -> bool:
    """Whether an evaluator's sample holds this exchange: always the same answer for the same request id."""
    rate = evaluator.definition.sample_rate
    if rate >= 1:
        return True
    digest = hashlib.blake2b(f"{evaluator.id}:{request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * 2**64


def evidence(found: Extraction, *, status_code: int | None, latency_ms: float | None) -> Evidence:
    """Return what evaluators look at."""
    tokens = found.token_count or TokenCount()
    return Evidence(
        prompt=found.prompt,
        completion=found.completion,
        system=found.system,
        status_code=status_code,
        latency_ms=latency_ms,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        total_tokens=tokens.total,
    )


def score(evaluator: EvaluatorRow, exchange_id: int, facts: Evidence) -> ScoreRow:
    """Score one exchange; an evaluator that breaks gives a score row with the error, never an exception."""
    definition = evaluator.definition
    try:
        verdict = evals.scorer(definition.type, definition.config)(facts)
    except Exception as error:
        log.exception("evaluator_failed", evaluator_id=evaluator.id, exchange_id=exchange_id)
        verdict = evals.Verdict(score=None, error=mask_text(f"{type(error).__name__}: {error}")[:500])
    passed = None if verdict.score is None else verdict.score >= definition.threshold
    return ScoreRow(
        exchange_id,
        evaluator.id,
        evaluator.version,
        verdict.score,
        passed,
        verdict.explanation,
        verdict.error,
    )
