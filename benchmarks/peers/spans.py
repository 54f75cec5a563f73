"""Runs in a peer's environment, which has opentelemetry-proto: exchanges as JSON lines on stdin become OTLP requests
on stdout, each after its length (4 bytes, big endian). The argument is how many exchanges one request has.

The attributes are OpenInference's, which both peers read. Each text is in there once.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status


def main() -> None:
    """Write the requests."""
    size, spans = int(sys.argv[1]), [_span(json.loads(line)) for line in sys.stdin]
    for request in _requests(spans, size):
        sys.stdout.buffer.write(len(request).to_bytes(4, "big") + request)


def _requests(spans: list[Span], size: int) -> Iterator[bytes]:
    for start in range(0, len(spans), size):
        scope = ScopeSpans(spans=spans[start : start + size])
        yield ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[scope])]).SerializeToString()


def _span(exchange: dict[str, Any]) -> Span:
    attributes = exchange["attributes"] | {"openinference.span.kind": "LLM"}
    return Span(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        name="llm",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=exchange["start_ns"],
        end_time_unix_nano=exchange["end_ns"],
        attributes=[KeyValue(key=name, value=_value(value)) for name, value in attributes.items() if value is not None],
        status=Status(code=Status.STATUS_CODE_OK),
    )


def _value(value: str | int) -> AnyValue:
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)


if __name__ == "__main__":
    main()
