"""Secrets to plant, one or more of each kind; made up here, so that no scanner takes this file for a leak."""

import base64
import random
import string

_LETTERS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"
_RANDOM = random.Random(5)


def some(length: int, alphabet: str = _LETTERS) -> str:
    """Return characters that look random, the last one a digit."""
    return "".join(_RANDOM.choices(alphabet, k=length - 1)) + _RANDOM.choice(string.digits)


def planted() -> dict[str, tuple[str, str]]:
    """Return secrets by kind, each as it stands in a text: the text, and what in it must not be seen."""
    secrets = {
        "anthropic_key": f"sk-ant-api03-{some(48)}",
        "ingate_key": f"sk-ingate-{some(43)}",
        "openrouter_key": f"sk-or-v1-{some(64, _HEX)}",
        "openai_project_key": f"sk-proj-{some(30)}_{some(30)}-{some(10)}",
        "openai_service_key": f"sk-svcacct-{some(40)}",
        "openai_old_key": f"sk-{some(48)}",
        "google_key": f"AIza{some(35)}",
        "google_token": f"ya29.{some(60)}",
        "google_client_secret": f"GOCSPX-{some(28)}",
        "huggingface_token": f"hf_{some(34)}",
        "groq_key": f"gsk_{some(52)}",
        "xai_key": f"xai-{some(80)}",
        "perplexity_key": f"pplx-{some(48)}",
        "replicate_token": f"r8_{some(37)}",
        "nvidia_key": f"nvapi-{some(64)}",
        "aws_key_id": f"AKIA{some(16, string.ascii_uppercase + string.digits)}",
        "aws_temporary_key_id": f"ASIA{some(16, string.ascii_uppercase + string.digits)}",
        "github_token": f"ghp_{some(36)}",
        "github_app_token": f"ghs_{some(36)}",
        "github_fine_token": f"github_pat_{some(22)}_{some(59)}",
        "gitlab_token": f"glpat-{some(20)}",
        "slack_token": f"xoxb-{some(12, string.digits)}-{some(24)}",
        "stripe_key": f"sk_live_{some(24)}",
        "stripe_restricted_key": f"rk_live_{some(24)}",
        "npm_token": f"npm_{some(36)}",
        "pypi_token": f"pypi-AgEIcHlwaS5vcmc{some(60)}",
        "sendgrid_key": f"SG.{some(22)}.{some(43)}",
        "twilio_key": f"SK{some(32, _HEX)}",
        "telegram_token": f"{some(10, string.digits)}:AA{some(33)}",
        "digitalocean_token": f"dop_v1_{some(64, _HEX)}",
        "jwt": f"eyJ{some(30)}.eyJ{some(40)}.{some(43)}",
        "private_key": f"-----BEGIN RSA PRIVATE KEY-----\n{some(64)}\n{some(40)}\n-----END RSA PRIVATE KEY-----",
    }
    basic = base64.b64encode(f"user:{some(12)}".encode()).decode()
    account = base64.b64encode(some(64).encode()).decode()
    named = {}
    for kind, form, secret in (
        ("aws_secret", "aws_secret_access_key = {}", some(40)),
        ("bearer", "Authorization: Bearer {}", some(24)),
        ("basic", "Authorization: Basic {}", basic),
        ("database_password", "postgresql://app:{}@db.example.org/app", some(14)),
        ("azure_account_key", "AccountName=a;AccountKey={};EndpointSuffix=x", account),
        ("sql_server_password", "Server=db;User Id=sa;Password={};", some(12)),
        ("key_parameter", "https://api.example.org/v1?alt=sse&key={}", some(20)),
        ("signature_parameter", "https://blob.example.org/a?sv=2024&sig={}", some(43)),
        ("access_token_parameter", "https://api.example.org/me?access_token={}", some(30)),
    ):
        named[kind] = (form.format(secret), secret)
    return {kind: (secret, secret) for kind, secret in secrets.items()} | named
