"""The first tables. A frozen copy of the models as they were: later changes are later migrations."""

from typing import Any

import peewee as pw


def up(migrator: Any, db: pw.Database) -> None:  # noqa: ARG001 - the runner's signature
    """Create them."""
    if not isinstance(db, pw.SqliteDatabase):
        Score._meta.without_rowid = False
    with db.bind_ctx(TABLES):
        db.create_tables(TABLES)


class Base(pw.Model):
    class Meta:
        legacy_table_names = False


class Project(Base):
    id = pw.AutoField()
    name = pw.TextField(unique=True)
    created_at = pw.BigIntegerField()


class ApiKey(Base):
    id = pw.AutoField()
    project_id = pw.IntegerField(index=True)
    name = pw.TextField()
    prefix = pw.TextField()
    digest = pw.BlobField(unique=True)
    role = pw.TextField()
    created_at = pw.BigIntegerField()
    expires_at = pw.BigIntegerField(null=True)
    revoked_at = pw.BigIntegerField(null=True)


class AuditEntry(Base):
    id = pw.AutoField()
    project_id = pw.IntegerField(index=True)
    at = pw.BigIntegerField()
    actor = pw.TextField()
    action = pw.TextField()
    subject = pw.TextField()


class Batch(Base):
    id = pw.BigAutoField()
    project_id = pw.IntegerField()
    batch_id = pw.TextField(unique=True)
    received_at = pw.BigIntegerField()
    size = pw.IntegerField()

    class Meta:
        indexes = ((("project_id", "id"), False),)


class Rejection(Base):
    batch = pw.BigIntegerField()
    position = pw.IntegerField()
    request_id = pw.TextField(null=True)
    error_code = pw.TextField()
    detail = pw.TextField()
    pointer = pw.TextField(null=True)

    class Meta:
        primary_key = pw.CompositeKey("batch", "position")


class Duplicate(Base):
    batch = pw.BigIntegerField()
    position = pw.IntegerField()
    exchange_id = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("batch", "position")


class Exchange(Base):
    id = pw.BigAutoField()
    project_id = pw.IntegerField()
    request_id = pw.TextField()
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
    tags = pw.TextField(null=True)

    class Meta:
        indexes = (
            (("project_id", "request_id"), True),
            (("project_id", "received_at"), False),
            (("batch", "batch_position"), False),
        )


class Payload(Base):
    exchange_id = pw.BigIntegerField(primary_key=True)
    codec = pw.SmallIntegerField()
    data = pw.BlobField()


class Pending(Base):
    exchange_id = pw.BigIntegerField(primary_key=True)
    step = pw.SmallIntegerField()
    attempts = pw.SmallIntegerField()
    due_at = pw.BigIntegerField(index=True)
    leased_until = pw.BigIntegerField()
    last_error = pw.TextField(null=True)
    extracted_at = pw.BigIntegerField(null=True)
    extract_attempts = pw.SmallIntegerField(null=True)
    logged_at = pw.BigIntegerField(null=True)
    log_attempts = pw.SmallIntegerField(null=True)


class Failure(Base):
    exchange_id = pw.BigIntegerField(primary_key=True)
    project_id = pw.IntegerField(index=True)
    step = pw.SmallIntegerField()
    attempts = pw.SmallIntegerField()
    failed_at = pw.BigIntegerField()
    error = pw.TextField()
    reason = pw.TextField()
    traceback = pw.TextField(null=True)
    extracted_at = pw.BigIntegerField(null=True)
    extract_attempts = pw.SmallIntegerField(null=True)
    logged_at = pw.BigIntegerField(null=True)
    log_attempts = pw.SmallIntegerField(null=True)


class Finished(Base):
    exchange_id = pw.BigIntegerField(primary_key=True)
    extracted_at = pw.BigIntegerField(null=True)
    extract_attempts = pw.SmallIntegerField(null=True)
    logged_at = pw.BigIntegerField(null=True)
    log_attempts = pw.SmallIntegerField(null=True)
    evaluated_at = pw.BigIntegerField()
    evaluate_attempts = pw.SmallIntegerField()


class Log(Base):
    exchange_id = pw.BigIntegerField(primary_key=True)
    project_id = pw.IntegerField()
    shape = pw.TextField(null=True)
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

    class Meta:
        indexes = (
            (("project_id", "model", "exchange_id"), False),
            (("project_id", "provider", "exchange_id"), False),
        )


class Evaluator(Base):
    id = pw.AutoField()
    project_id = pw.IntegerField()
    name = pw.TextField()
    enabled = pw.BooleanField()
    sample_rate = pw.DoubleField()
    filter_query = pw.TextField()
    version = pw.IntegerField()
    created_at = pw.BigIntegerField()
    updated_at = pw.BigIntegerField()
    deleted_at = pw.BigIntegerField(null=True)

    class Meta:
        indexes = ((("project_id", "deleted_at"), False),)


class EvaluatorVersion(Base):
    evaluator_id = pw.IntegerField()
    version = pw.IntegerField()
    type = pw.TextField()
    config = pw.TextField()
    threshold = pw.DoubleField()
    created_at = pw.BigIntegerField()

    class Meta:
        primary_key = pw.CompositeKey("evaluator_id", "version")


class Score(Base):
    exchange_id = pw.BigIntegerField()
    evaluator_id = pw.IntegerField()
    version = pw.IntegerField()
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
    due_at = pw.BigIntegerField(null=True)


TABLES = (
    Project, ApiKey, AuditEntry, Batch, Rejection, Duplicate, Exchange, Payload, Pending, Failure, Finished, Log,
    Evaluator, EvaluatorVersion, Score, EvalRun,
)  # fmt: skip
