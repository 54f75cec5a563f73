"""Who was called, told from the host or path of a call when the client does not say. Data only."""

import re
from typing import Final

from app.shapes.paths import Place

#: The end of the host, and the provider it belongs to.
_HOSTS: Final = (
    ("models.inference.ai.azure.com", "github"),
    ("openai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("models.ai.azure.com", "azure"),
    ("inference.ai.azure.com", "azure"),
    ("openai.com", "openai"),
    ("anthropic.com", "anthropic"),
    ("amazonaws.com", "bedrock"),
    ("api.aws", "bedrock"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex"),
    ("openrouter.ai", "openrouter"),
    ("groq.com", "groq"),
    ("mistral.ai", "mistral"),
    ("azuredatabricks.net", "databricks"),
    ("databricks.com", "databricks"),
    ("deepseek.com", "deepseek"),
    ("huggingface.co", "huggingface"),
    ("cerebras.ai", "cerebras"),
    ("snowflakecomputing.com", "snowflake"),
    ("z.ai", "zai"),
    ("bigmodel.cn", "zai"),
    ("cloudflare.com", "cloudflare"),
    ("ollama.com", "ollama"),
    ("localhost:11434", "ollama"),
    ("127.0.0.1:11434", "ollama"),
    ("x.ai", "xai"),
    ("together.xyz", "together"),
    ("together.ai", "together"),
    ("perplexity.ai", "perplexity"),
    ("fireworks.ai", "fireworks"),
    ("nvidia.com", "nvidia"),
    ("cohere.com", "cohere"),
    ("cohere.ai", "cohere"),
    ("moonshot.ai", "moonshot"),
    ("moonshot.cn", "moonshot"),
    ("aliyuncs.com", "alibaba"),
    ("models.github.ai", "github"),
    ("sambanova.ai", "sambanova"),
    ("deepinfra.com", "deepinfra"),
    ("novita.ai", "novita"),
    ("nebius.com", "nebius"),
    ("nebius.ai", "nebius"),
    ("hyperbolic.xyz", "hyperbolic"),
    ("minimax.io", "minimax"),
    ("heroku.com", "heroku"),
    ("crusoecloud.com", "crusoe"),
    ("vercel.sh", "vercel"),
)

#: What the path itself shows. The bare paths at the end are those of the APIs' own makers.
_PATHS: Final = (
    (re.compile(r"/openai/deployments/"), "azure"),
    (re.compile(r"/model/[^/]+/(?:invoke|converse)"), "bedrock"),
    (re.compile(r"/publishers/anthropic/models/"), "vertex"),
    (re.compile(r"/serving-endpoints/"), "databricks"),
    (re.compile(r"/v1beta/openai/"), "gemini"),
    (re.compile(r"/api/v2/cortex/"), "snowflake"),
    (re.compile(r"^/v1/messages$"), "anthropic"),
    (re.compile(r"^/v1/(?:chat/completions|responses)$"), "openai"),
)


def provider_of(place: Place) -> str | None:
    """Name the provider of a call; None when neither host nor path tells."""
    hosts = (place.host, place.host.partition(":")[0])
    for end, provider in _HOSTS:
        if any(host == end or host.endswith(f".{end}") for host in hosts):
            return provider
    # A path is its maker's only where no other host was called: half the world serves /v1/chat/completions.
    known = _PATHS if not place.host else _PATHS[:-2]
    return next((provider for pattern, provider in known if pattern.search(place.path)), None)
