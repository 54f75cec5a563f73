"""The tables. Times are milliseconds since 1970 UTC, from the database's clock unless a client sent them.

The hot tables (exchange, payload, pending, log, score, finished) have no foreign keys: their rows are written
together in one transaction, and a constraint check on every row would cost more than the insert.
"""

from enum import IntEnum

import peewee as pw

db = pw.DatabaseProxy()


class Kind(IntEnum):
    """Why an exchange is here; only live ones count in lists and usage unless asked for."""

    LIVE = 0
    DEMO = 1
    #: Sent by Ingate itself, to a project of its own, to prove the way; see canaries.py.
    CANARY = 2


class Step(IntEnum):
    """What an unfinished exchange waits for."""

    EXTRACT = 0
    LOG = 1
    EVALUATE = 2


class Flag(IntEnum):
    """Bits of log.flags."""

    STREAMED = 1
    TRUNCATED = 2
    ERROR = 4
    REFUSAL = 8
    TOOLS = 16
    #: The reported token counts do not sum to the provider's own totals.
    ODD = 32


class Base(pw.Model):
    class Meta:
        database = db
        legacy_table_names = False


#: The project of our own canaries; no key speaks for it, and no other project may have its name.
CANARY_PROJECT = "canary"


class Project(Base):
    id = pw.AutoField()
    name = pw.TextField(unique=True)
    created_at = pw.BigIntegerField()
    #: app.masking.Mask: what is replaced in its items before they are stored; null for nothing.
    masking = pw.SmallIntegerField(null=True)


class ApiKey(Base):
    id = pw.AutoField()
    project_id = pw.IntegerField(index=True)
    name = pw.TextField()
    #: First characters of the key, to tell keys apart.
    prefix = pw.TextField()
    #: SHA-256 of the key: a random 256-bit key needs no slower hash.
    digest = pw.BlobField(unique=True)
    role = pw.TextField()
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField(null=True)
    revoked_at = pw.BigIntegerField(null=True)


class SignInLink(Base):
    """A link that signs one browser in, once."""

    #: SHA-256 of the token in the link.
    digest = pw.BlobField(primary_key=True)
    project_id = pw.IntegerField()
    role = pw.TextField()
    expires_at = pw.BigIntegerField()


class LoginSession(Base):
    """A signed-in browser; the row is the truth, so signing out works at once and everywhere."""

    #: SHA-256 of the token in the cookie.
    digest = pw.BlobField(primary_key=True)
    project_id = pw.IntegerField()
    role = pw.TextField()
    #: The key that was exchanged for it: the session dies with the key.
    key_id = pw.IntegerField(null=True)
    created_at = pw.BigIntegerField()
    seen_at = pw.BigIntegerField()


class AuditEntry(Base):
    id = pw.AutoField()
    project_id = pw.IntegerField(index=True)
    at = pw.BigIntegerField()
    #: Who did it: `key:<id>` or `cli`.
    actor = pw.TextField()
    #: What was done, e.g. `key.created`.
    action = pw.TextField()
    #: To what, e.g. `key:12`.
    subject = pw.TextField()


class Batch(Base):
    id = pw.BigAutoField()
    project_id = pw.IntegerField()
    batch_id = pw.TextField(unique=True)
    received_at = pw.BigIntegerField()
    #: Items sent, refused ones included.
    size = pw.IntegerField()

    class Meta:
        indexes = ((("project_id", "id"), False),)


class Rejection(Base):
    """A refused item of a batch."""

    batch = pw.BigIntegerField()
    position = pw.IntegerField()
    request_id = pw.TextField(null=True)
    error_code = pw.TextField()
    detail = pw.TextField()
    pointer = pw.TextField(null=True)

    class Meta:
        primary_key = pw.CompositeKey("batch", "position")


class Duplicate(Base):
    """An item of a batch that had been accepted before, by another call or earlier in the same one."""

    batch = pw.BigIntegerField()
    position = pw.IntegerField()
    exchange_id = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("batch", "position")


class Exchange(Base):
    """What was accepted; never updated."""

    id = pw.BigAutoField()
    project_id = pw.IntegerField()
    request_id = pw.TextField()
    #: BLAKE2b-128 of the item's bytes as received: tells a replay from a conflict.
    digest = pw.BlobField()
    batch = pw.BigIntegerField(null=True)
    batch_position = pw.IntegerField(null=True)
    key_id = pw.IntegerField(null=True)
    kind = pw.SmallIntegerField()
    received_at = pw.BigIntegerField()
    started_at = pw.BigIntegerField(null=True)
    provider = pw.TextField(null=True)
    path = pw.TextField(null=True)
    method = pw.TextField()
    status_code = pw.SmallIntegerField(null=True)
    latency_ms = pw.DoubleField(null=True)
    ttft_ms = pw.DoubleField(null=True)
    user_id = pw.TextField(null=True)
    session_id = pw.TextField(null=True)
    #: JSON object of the client's other tags.
    tags = pw.TextField(null=True)
    #: The project's masking when it was stored; null when it had none.
    masking = pw.SmallIntegerField(null=True)

    class Meta:
        indexes = (
            (("project_id", "request_id"), True),
            (("project_id", "received_at"), False),
            (("batch", "batch_position"), False),
        )


class Payload(Base):
    """The item's bytes as received, compressed; read one at a time, never by lists."""

    exchange_id = pw.BigIntegerField(primary_key=True)
    codec = pw.SmallIntegerField()
    data = pw.BlobField()


class Pending(Base):
    """The state of an unfinished exchange; its row goes at the end, so the table is as small as the backlog."""

    exchange_id = pw.BigIntegerField(primary_key=True)
    step = pw.SmallIntegerField()
    #: Tries of this step so far, counted before the work so that a killed worker counts.
    attempts = pw.SmallIntegerField()
    #: When the sweep sends it again.
    due_at = pw.BigIntegerField(index=True)
    #: Until then nobody else may claim it.
    leased_until = pw.BigIntegerField()
    last_error = pw.TextField(null=True)
    extracted_at = pw.BigIntegerField(null=True)
    extract_attempts = pw.SmallIntegerField(null=True)
    logged_at = pw.BigIntegerField(null=True)
    log_attempts = pw.SmallIntegerField(null=True)


class Failure(Base):
    """An exchange whose step could not run; a retry turns it into a pending row again, unless a person gave it up."""

    exchange_id = pw.BigIntegerField(primary_key=True)
    project_id = pw.IntegerField(index=True)
    step = pw.SmallIntegerField()
    attempts = pw.SmallIntegerField()
    failed_at = pw.BigIntegerField()
    #: Class of the exception, and its message in a sentence.
    error = pw.TextField()
    reason = pw.TextField()
    traceback = pw.TextField(null=True)
    extracted_at = pw.BigIntegerField(null=True)
    extract_attempts = pw.SmallIntegerField(null=True)
    logged_at = pw.BigIntegerField(null=True)
    log_attempts = pw.SmallIntegerField(null=True)
    #: What is alike in failures of one cause: step, error, shape and provider, hashed; `unknown` in rows of older code.
    fingerprint = pw.TextField()
    shape = pw.TextField(null=True)
    provider = pw.TextField(null=True)
    #: When a person gave it up; null while it waits in the inbox.
    discarded_at = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("project_id", "fingerprint", "exchange_id"), False),)


class Finished(Base):
    """When each step of an evaluated exchange was done, and at which attempt; null: in one pass with the last one."""

    exchange_id = pw.BigIntegerField(primary_key=True)
    extracted_at = pw.BigIntegerField(null=True)
    extract_attempts = pw.SmallIntegerField(null=True)
    logged_at = pw.BigIntegerField(null=True)
    log_attempts = pw.SmallIntegerField(null=True)
    evaluated_at = pw.BigIntegerField()
    evaluate_attempts = pw.SmallIntegerField()


class Tally(Base):
    """How many exchanges of a project came and ended; kept by triggers, so that no writer can forget it.

    A project's counts are the sums over its shards.
    """

    project_id = pw.IntegerField()
    shard = pw.SmallIntegerField()
    accepted = pw.BigIntegerField()
    evaluated = pw.BigIntegerField()
    #: Rows of exchange that were deleted: retention takes an exchange's other rows first.
    expired = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("project_id", "shard")


class Retention(Base):
    """The last retention run of a project, or the one that is on; those before it are in the audit trail."""

    project_id = pw.IntegerField(primary_key=True)
    #: Exchanges received before it go.
    cut = pw.BigIntegerField()
    started_at = pw.BigIntegerField()
    #: Null while it is on, also after it was killed.
    finished_at = pw.BigIntegerField(null=True)
    #: Until then nobody else may go on with it.
    leased_until = pw.BigIntegerField()
    #: What it has removed so far.
    exchanges = pw.BigIntegerField()
    batches = pw.BigIntegerField()


class Log(Base):
    """What extraction found, as lists and filters need it; inserted once, rewritten only by a reprocess run.

    Full texts are read from the payload.
    """

    exchange_id = pw.BigIntegerField(primary_key=True)
    project_id = pw.IntegerField()
    shape = pw.TextField(null=True)
    #: extracted, fallback, mixed or none; with `reason` where something could not be read.
    extraction = pw.TextField()
    reason = pw.TextField(null=True)
    provider = pw.TextField(null=True)
    model = pw.TextField(null=True)
    response_model = pw.TextField(null=True)
    finish_reason = pw.TextField(null=True)
    prompt_preview = pw.TextField(null=True)
    completion_preview = pw.TextField(null=True)
    prompt_tokens = pw.BigIntegerField(null=True)
    completion_tokens = pw.BigIntegerField(null=True)
    total_tokens = pw.BigIntegerField(null=True)
    flags = pw.IntegerField()
    cached_tokens = pw.BigIntegerField(null=True)
    cache_creation_tokens = pw.BigIntegerField(null=True)
    reasoning_tokens = pw.BigIntegerField(null=True)
    cost_usd = pw.DoubleField(null=True)
    #: Why there is no cost, though something was used or should have been reported; indexed where it is not null.
    unpriced = pw.TextField(null=True)
    matched_model = pw.TextField(null=True)
    price_source = pw.TextField(null=True)
    price_version = pw.TextField(null=True)
    #: JSON array of [bucket, tokens, usd].
    cost_lines = pw.TextField(null=True)
    #: Tells whether the words of the search index are still those of the texts.
    words_digest = pw.BigIntegerField(null=True)
    #: app.extraction.VERSION; null in rows from before there were versions.
    extractor_version = pw.IntegerField(null=True)

    class Meta:
        indexes = (
            (("project_id", "model", "exchange_id"), False),
            (("project_id", "provider", "exchange_id"), False),
        )


# Keys come first: in another order SQLite's integrity_check takes every value of such a table for null (3.40).
class ByCall(Base):
    """What calls are summed by; `start` is the first millisecond of the period, in UTC.

    No provider or model is "", no status class or key is 0. Names are cut to app.store.usage.MAX_NAME characters.
    """

    project_id = pw.IntegerField()
    start = pw.BigIntegerField()
    provider = pw.TextField()
    #: What prices use: the response's model where it names one.
    model = pw.TextField()
    #: First digit of the status code.
    status_class = pw.SmallIntegerField()
    key_id = pw.IntegerField()


class ByUser(Base):
    project_id = pw.IntegerField()
    start = pw.BigIntegerField()
    user_id = pw.TextField()


class BySession(Base):
    project_id = pw.IntegerField()
    session_id = pw.TextField()
    first_at = pw.BigIntegerField()
    last_at = pw.BigIntegerField()


class Measured(Base):
    """What roll-ups sum. Sums are doubles that hold whole numbers: exact up to 2**53, and never out of range."""

    requests = pw.BigIntegerField()
    #: Answered with 400 and above, or with an error in the body.
    errors = pw.BigIntegerField()
    #: Those of which input or output tokens are known; without any, their sums are unknown rather than 0.
    metered = pw.BigIntegerField()
    prompt_tokens = pw.DoubleField()
    completion_tokens = pw.DoubleField()
    #: Those of which the cost is known.
    priced = pw.BigIntegerField()
    #: Cost in picodollars (1e-12 USD).
    cost_pico = pw.DoubleField()
    #: Those of which the latency is known.
    timed = pw.BigIntegerField()
    latency_us = pw.DoubleField()


class Usage(ByCall, Measured):
    """Live calls by all that charts filter and group by."""

    total_tokens = pw.DoubleField()
    cached_tokens = pw.DoubleField()
    cache_creation_tokens = pw.DoubleField()
    reasoning_tokens = pw.DoubleField()
    #: Those that have no cost though they should.
    unpriced = pw.BigIntegerField()
    #: app.latencies: a number in PostgreSQL, packed bytes in SQLite.
    latencies = pw.DecimalField(max_digits=1000, decimal_places=0)


class UsageHour(Usage):
    class Meta:
        primary_key = pw.CompositeKey("project_id", "start", "provider", "model", "status_class", "key_id")
        without_rowid = True


class UsageDay(Usage):
    """The same by day: a month of hours is too much to add up for each chart."""

    class Meta:
        primary_key = pw.CompositeKey("project_id", "start", "provider", "model", "status_class", "key_id")
        without_rowid = True


class UsageDayUser(ByUser, Measured):
    class Meta:
        primary_key = pw.CompositeKey("project_id", "start", "user_id")
        without_rowid = True


class Session(BySession, Measured):
    """All live calls of a session, however long it lasts."""

    class Meta:
        primary_key = pw.CompositeKey("project_id", "session_id")
        indexes = ((("project_id", "first_at", "session_id"), False),)
        without_rowid = True


class Evaluator(Base):
    id = pw.AutoField()
    project_id = pw.IntegerField()
    name = pw.TextField()
    enabled = pw.BooleanField()
    sample_rate = pw.DoubleField()
    filter_query = pw.TextField()
    #: The version that scores now; its config is in evaluator_version.
    version = pw.IntegerField()
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()
    deleted_at = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("project_id", "deleted_at"), False),)


class EvaluatorVersion(Base):
    """What an evaluator checked at one version; old scores keep theirs."""

    evaluator_id = pw.IntegerField()
    version = pw.IntegerField()
    type = pw.TextField()
    #: JSON object, valid for the type.
    config = pw.TextField()
    #: Scores from here on pass.
    threshold = pw.DoubleField()
    created_at = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("evaluator_id", "version")


class Score(Base):
    exchange_id = pw.BigIntegerField()
    evaluator_id = pw.IntegerField()
    version = pw.IntegerField()
    #: 0.0 to 1.0; null when the evaluator could not score, and then `error` says why.
    score = pw.DoubleField(null=True)
    passed = pw.BooleanField(null=True)
    explanation = pw.TextField(null=True)
    error = pw.TextField(null=True)
    at = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("exchange_id", "evaluator_id", "version")
        indexes = ((("evaluator_id", "exchange_id"), False),)
        without_rowid = True


class EvalRun(Base):
    """Scoring of history by one evaluator version; `cursor` is the last exchange looked at, newest first."""

    id = pw.AutoField()
    project_id = pw.IntegerField()
    evaluator_id = pw.IntegerField()
    version = pw.IntegerField()
    query = pw.TextField()
    since = pw.BigIntegerField(null=True)
    until = pw.BigIntegerField(null=True)
    state = pw.TextField()
    total = pw.IntegerField()
    scored = pw.IntegerField()
    failed = pw.IntegerField()
    cursor = pw.BigIntegerField()
    created_at = pw.BigIntegerField()
    finished_at = pw.BigIntegerField(null=True)
    #: When the sweep sends it again.
    due_at = pw.BigIntegerField(null=True)
    #: Tries of the chunk at the cursor, counted before the work.
    attempts = pw.SmallIntegerField()
    #: Why a failed run stopped; see Failure.
    fingerprint = pw.TextField(null=True)
    error = pw.TextField(null=True)
    reason = pw.TextField(null=True)
    traceback = pw.TextField(null=True)


class Price(Base):
    """A project's own price."""

    id = pw.AutoField()
    project_id = pw.IntegerField(index=True)
    #: Patterns in which `*` stands for any text; provider null: any.
    provider = pw.TextField(null=True)
    model = pw.TextField()
    valid_from = pw.BigIntegerField(null=True)
    #: JSON object: USD per million tokens, by bucket.
    rates = pw.TextField()
    created_at = pw.BigIntegerField()


class ReprocessRun(Base):
    """Reading stored exchanges again; `cursor` is the last exchange looked at, newest first."""

    id = pw.AutoField()
    project_id = pw.IntegerField(index=True)
    query = pw.TextField()
    since = pw.BigIntegerField(null=True)
    until = pw.BigIntegerField(null=True)
    #: Everything is found out and nothing is changed.
    dry_run = pw.BooleanField()
    state = pw.TextField()
    total = pw.IntegerField()
    processed = pw.IntegerField()
    #: Exchanges whose item cannot be read; their rows stay as they are.
    failed = pw.IntegerField()
    changed = pw.IntegerField()
    #: JSON object: how many rows change, by field.
    fields = pw.TextField()
    cost_before = pw.DoubleField()
    cost_after = pw.DoubleField()
    cursor = pw.BigIntegerField()
    created_at = pw.BigIntegerField()
    finished_at = pw.BigIntegerField(null=True)
    #: When the sweep sends it again.
    due_at = pw.BigIntegerField(null=True)
    #: Tries of the chunk at the cursor, counted before the work.
    attempts = pw.SmallIntegerField()
    #: Why a failed run stopped; see Failure.
    fingerprint = pw.TextField(null=True)
    error = pw.TextField(null=True)
    reason = pw.TextField(null=True)
    traceback = pw.TextField(null=True)


ALL = (
    Project, ApiKey, SignInLink, LoginSession, AuditEntry, Batch, Rejection, Duplicate, Exchange, Payload, Pending,
    Failure, Finished, Tally, Retention, Log, UsageHour, UsageDay, UsageDayUser, Session, Evaluator, EvaluatorVersion,
    Score, EvalRun, Price, ReprocessRun,
)  # fmt: skip
