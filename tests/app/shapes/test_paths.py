"""Paths as clients send them, and the shape, model and provider that they tell."""

import pytest

from app.shapes import SHAPES
from app.shapes.paths import place_of
from app.shapes.providers import provider_of

BEDROCK = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-v1%3A0/invoke"


def _shape_of(path: str) -> str | None:
    place = place_of(path)
    return next((shape.name for shape in SHAPES if shape.owns_path(place.path)), None)


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", "openai_chat"),
        ("v1/chat/completions", "openai_chat"),
        ("chat/completions", "openai_chat"),
        ("https://api.groq.com/openai/v1/chat/completions?x=1#y", "openai_chat"),
        ("api.openai.com/v1/chat/completions/", "openai_chat"),
        ("localhost:8000/v1/chat/completions", "openai_chat"),
        ("/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", "openai_chat"),
        ("/v1/responses", "openai_responses"),
        ("/openai/v1/responses/", "openai_responses"),
        ("/v1/responses/resp_123", "openai_responses"),
        ("/v1/responses/resp_123/cancel", "openai_responses"),
        ("/v1/messages?beta=true", "anthropic_messages"),
        ("/anthropic/v1/messages", "anthropic_messages"),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:streamRawPredict", "anthropic_messages"),
        ("/model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream", "anthropic_messages"),
        (BEDROCK, "anthropic_messages"),
        ("/model/meta.llama3-70b-instruct-v1:0/invoke", None),
        ("/v1/threads/thread_1/messages", None),
        ("/v1/messages/count_tokens", None),
        ("/v1/completions", None),
        ("/v1/embeddings", None),
        ("", None),
    ],
)
def test_path_tells_the_shape(path: str, shape: str | None) -> None:
    assert _shape_of(path) == shape


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/openai/deployments/my%20gpt/chat/completions", "my gpt"),
        (BEDROCK, "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-v1:0"),
        ("/v1/projects/p/publishers/anthropic/models/claude-sonnet-4@20250514:rawPredict", "claude-sonnet-4@20250514"),
        ("/serving-endpoints/my-endpoint/invocations", "my-endpoint"),
        ("/v1/chat/completions", None),
    ],
)
def test_path_tells_the_model(path: str, model: str | None) -> None:
    assert place_of(path).model == model


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        ("https://api.openai.com/v1/responses", "openai"),
        ("HTTPS://API.OpenAI.com:443/v1/responses", "openai"),
        ("https://acme.openai.azure.com/openai/v1/responses", "azure"),
        ("https://models.inference.ai.azure.com/chat/completions", "github"),
        ("api.x.ai/v1/chat/completions", "xai"),
        ("https://notx.ai/v1/chat/completions", None),
        ("http://localhost:11434/v1/chat/completions", "ollama"),
        ("https://gateway.example/v1/chat/completions", None),
        ("https://gateway.example/openai/deployments/d/chat/completions", "azure"),
        ("/v1/chat/completions", "openai"),
        ("/v1/messages", "anthropic"),
        ("/api/v1/chat/completions", None),
        ("", None),
    ],
)
def test_host_or_path_tells_the_provider(path: str, provider: str | None) -> None:
    assert provider_of(place_of(path)) == provider


def test_long_path_is_read_quickly() -> None:
    path = "/model" * 680

    assert place_of(path).model is None
    assert _shape_of(path) is None
