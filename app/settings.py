"""Every setting, read from the environment in this one place. A wrong value stops the start, naming the variable.

`ingate config` prints this table; the README's is compared with it by a test.
"""

import dataclasses
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from app.errors import SettingError

#: Unix socket paths are limited to 108 bytes by the kernel (sockaddr_un), terminator included.
MAX_SOCKET_PATH = 104

_Parser = Callable[[str], Any]


def _setting(variable: str, default: Any, parse: _Parser, about: str, *, secret: bool = False) -> Any:
    return dataclasses.field(
        default=default, metadata={"variable": variable, "parse": parse, "about": about, "secret": secret}
    )


def _whole(low: int, high: int) -> _Parser:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,15}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def _database_url(text: str) -> str:
    if _scheme(text) not in ("sqlite", "postgres", "postgresql"):
        raise ValueError("sqlite:///path or postgresql://user:password@host/name")
    return text


def _redis_url(text: str) -> str:
    if _scheme(text) not in ("redis", "rediss", "unix"):
        raise ValueError("redis://host:port/0, rediss://… or unix:///path")
    return text


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        # Its message quotes the URL, password included.
        return ""


def _api_key(text: str) -> str:
    if not re.fullmatch(r"sk-ingate-[A-Za-z0-9_-]{24,200}", text):
        raise ValueError("sk-ingate- and at least 24 letters, digits, - or _")
    return text


def _web_url(text: str) -> str:
    if _scheme(text) not in ("http", "https") or not urlsplit(text).netloc:
        raise ValueError("http://host or https://host")
    return text.rstrip("/")


def _choice_bool(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("0 or 1")
    return text == "1"


def _written(default: Any) -> str:
    """Write a default as the variable takes it."""
    return str(int(default) if isinstance(default, bool) else default)


def _choice(*values: str) -> _Parser:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError("one of " + ", ".join(values))
        return text

    return parse


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One process's settings; `from_environ` is the only way they are read."""

    port: int = _setting("PORT", 8000, _whole(1, 65535), "Port the web process listens on.")
    host: str = _setting("INGATE_HOST", "127.0.0.1", str, "Address the web process listens on.")
    data: Path = _setting("INGATE_DATA", Path("data"), Path, "Folder of the bundled database and queue.")
    database_url: str = _setting(
        "DATABASE_URL",
        "",
        _database_url,
        "SQLite or PostgreSQL; default: a SQLite file in INGATE_DATA.",
        secret=True,
    )
    redis_url: str = _setting(
        "REDIS_URL",
        "",
        _redis_url,
        "Redis or Valkey; default: the bundled server in INGATE_DATA.",
        secret=True,
    )
    bootstrap_key: str = _setting(
        "INGATE_BOOTSTRAP_KEY",
        "",
        _api_key,
        "Owner key of a deploy that is configured by variables.",
        secret=True,
    )
    web_concurrency: int = _setting("WEB_CONCURRENCY", 1, _whole(1, 64), "Web processes.")
    worker_processes: int = _setting(
        "INGATE_WORKER_PROCESSES", 2, _whole(1, 64), "Worker processes; as many as there are cores is a good number."
    )
    worker_threads: int = _setting("INGATE_WORKER_THREADS", 1, _whole(1, 64), "Threads of each worker process.")
    max_request_bytes: int = _setting(
        "INGATE_MAX_REQUEST_BYTES",
        20 * 2**20,
        _whole(1024, 2**30),
        "Largest request body, after decompression.",
    )
    max_item_bytes: int = _setting(
        "INGATE_MAX_ITEM_BYTES", 4 * 2**20, _whole(1024, 2**30), "Largest item of a request."
    )
    max_batch_items: int = _setting("INGATE_MAX_BATCH_ITEMS", 1000, _whole(1, 100_000), "Most items of one batch.")
    retention_days: int = _setting(
        "INGATE_RETENTION_DAYS",
        0,
        _whole(0, 36_500),
        "Finished exchanges received longer ago are removed; 0: kept for ever.",
    )
    key_requests_per_minute: int = _setting(
        "INGATE_KEY_REQUESTS_PER_MINUTE",
        0,
        _whole(0, 10_000_000),
        "API requests that one key may make a minute at one web process; 0: no limit.",
    )
    url: str = _setting(
        "INGATE_URL", "", _web_url, "Address people open in a browser, for printed links; default: this machine."
    )
    proxy_hops: int = _setting(
        "INGATE_PROXY_HOPS", 0, _whole(0, 5), "Proxies in front whose X-Forwarded-* headers are believed; 1 on Heroku."
    )
    redis_tls_insecure: bool = _setting(
        "REDIS_TLS_INSECURE", False, _choice_bool, "1 takes a self-signed certificate of a rediss:// server."
    )
    dyno: str = _setting("DYNO", "", str, "Set by Heroku: SQLite is refused, one proxy hop is believed.")
    log_level: str = _setting(
        "INGATE_LOG_LEVEL",
        "info",
        _choice("debug", "info", "warning", "error"),
        "Least severe event that is logged.",
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings.

        Raises SettingError naming the variable and what was expected. Unset and empty are the same.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            variable, text = field.metadata["variable"], environ.get(field.metadata["variable"], "")
            if not text:
                continue
            try:
                values[field.name] = field.metadata["parse"](text)
            except ValueError as error:
                shown = "…" if field.metadata["secret"] else repr(text[:80])
                raise SettingError(f"{variable}={shown}: expected {error}") from None
        settings = cls(**values)
        settings = dataclasses.replace(
            settings,
            database_url=settings.database_url or f"sqlite:///{quote(str((settings.data / 'ingate.db').absolute()))}",
            redis_url=settings.redis_url or settings.queue_url,
        )
        return settings.for_heroku() if settings.dyno else settings

    def for_heroku(self) -> "Settings":
        """Apply what is always so on a Heroku dyno: a disk that forgets, one proxy in front, self-signed Redis."""
        if self.database_url.startswith("sqlite:"):
            raise SettingError(
                "DATABASE_URL: a dyno's disk is emptied at every restart, so SQLite would lose exchanges here; "
                "attach PostgreSQL (heroku addons:create heroku-postgresql)"
            )
        if self.bundled_queue:
            raise SettingError(
                "REDIS_URL: web and worker are different machines here, so they need a Redis server in common; "
                "attach one (heroku addons:create heroku-redis)"
            )
        return dataclasses.replace(
            self,
            host="0.0.0.0",  # noqa: S104 - the router reaches a dyno from outside
            proxy_hops=self.proxy_hops or 1,
            redis_tls_insecure=self.redis_tls_insecure or self._is_heroku_redis(),
        )

    def _is_heroku_redis(self) -> bool:
        # Heroku's own Redis has a self-signed certificate on its amazonaws.com hosts; other vendors' must verify.
        return (urlsplit(self.redis_url).hostname or "").endswith(".amazonaws.com")

    @property
    def queue_socket(self) -> Path:
        """Where the bundled queue server listens; in the temporary folder when the data folder's path is too long."""
        path = (self.data / "queue.sock").absolute()
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ingate-{digest}.sock"

    @property
    def queue_url(self) -> str:
        """The bundled queue server's URL."""
        return f"unix://{quote(str(self.queue_socket))}"

    @property
    def bundled_queue(self) -> bool:
        """Whether `ingate up` runs the queue server itself."""
        return self.redis_url == self.queue_url

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Return every setting as (variable, default, what it is)."""
        return [(f.metadata["variable"], _written(f.default), f.metadata["about"]) for f in dataclasses.fields(cls)]
