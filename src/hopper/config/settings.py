"""What can be set, with its defaults, and what values it can have."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from hopper.config.models import agreed
from hopper.config.problems import BadConfiguration, Contradiction
from hopper.config.urls import masked
from hopper.domain.ids import MODEL_NAME

PUBLIC_API = "https://api.openai.com/v1"

_BOLT = {"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"}
"""The schemes of Neo4j's driver; +s is encrypted, +ssc trusts any certificate."""


def _number(value: Any) -> Any:
    """Refuse what YAML reads as a truth value (true, yes, on), which pydantic would take for 1."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not true or false")
    return value


def _listed(value: Any) -> Any:
    """What a line of text lists, with commas between; an environment variable has nothing else."""
    return [one for one in re.split(r"[\s,]+", value) if one] if isinstance(value, str) else value


def _host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[\w.-]+", name, re.ASCII) for name in names):
        raise ValueError("a host's name is written like hopper.example.com, without a scheme, a port or a *")
    return tuple(name.lower() for name in names)


def _settled(value: bool) -> bool:
    if not value:
        raise ValueError("it can't be turned off")
    return value


Settled = Annotated[bool, AfterValidator(_settled)]
HostNames = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_host_names)]
Whole = Annotated[int, BeforeValidator(_number)]
Share = Annotated[float, BeforeValidator(_number)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Postgres(_Section):
    """`url` None means the embedded PostgreSQL under `home`, `replica_url` a streaming replica of the one at `url`.

    They may hold passwords and aren't shown.
    """

    url: str | None = Field(default=None, repr=False)
    replica_url: str | None = Field(default=None, repr=False)
    pool_size: Whole = Field(default=20, ge=4, le=500)

    @field_validator("url", "replica_url")
    @classmethod
    def _readable(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError("it isn't a URL") from None
        if parts.scheme not in {"postgresql", "postgres"}:
            raise ValueError("it has to begin with postgresql://")
        # Python's own message about a port would repeat a part of the password.
        if parts.fragment or "@" in parts.path + parts.query or not _has_ports(parts.netloc):
            raise ValueError("its port isn't a number, or its password has a / # ? @ : or % that isn't percent-encoded")
        return url

    @model_validator(mode="after")
    def _of_an_external_one(self) -> Self:
        if self.replica_url and not self.url:
            raise Contradiction(
                "The setting {0} needs {1}: the embedded PostgreSQL has no replica.",
                ("database", "postgres", "replica_url"),
                ("database", "postgres", "url"),
            )
        return self


def _has_ports(netloc: str) -> bool:
    """Whether each host has a numeric port or none: `host:5432,other`, `[::1]:5432`."""
    hosts = netloc.rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    return all(port == "" or (port.isdecimal() and int(port) <= 65_535) for port in ports)


class Pgvector(_Section):
    """The model whose vectors are searched, how many numbers each has, and the kind of index over many of them.

    `Settings` fills in what isn't given. Not `enabled`, Hopper goes by words, patterns and recency alone, and needs no
    such extension.
    """

    enabled: bool = True
    embedding_model: str = Field(default="", pattern=MODEL_NAME)
    embedding_dimension: Whole = Field(default=0, ge=1, le=16_000)
    index: Literal["hnsw", "ivfflat"] = "hnsw"


class Neo4j(_Section):
    """The graph. `enabled` without a `url` means the embedded Neo4j under `home`; a `url` alone enables it."""

    enabled: bool = False
    url: str | None = None
    username: str = Field(default="neo4j", min_length=1)
    password: SecretStr = SecretStr("")

    @model_validator(mode="before")
    @classmethod
    def _enabled_by_a_url(cls, given: Any) -> Any:
        return {"enabled": True, **given} if isinstance(given, dict) and given.get("url") else given

    @field_validator("url")
    @classmethod
    def _reachable(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            usable = parts.scheme in _BOLT and parts.hostname and _has_ports(parts.netloc) and url.isprintable()
        except ValueError:
            usable = None
        if not usable or " " in url:
            raise ValueError("it has to be a URL such as bolt://127.0.0.1:7687 or neo4j+s://graph.example.com")
        if "@" in url or parts.fragment:
            raise ValueError("it can't hold a name or a password; they are settings of their own")
        return url


class Graph(_Section):
    """When the graph follows a write: with it (`sync_on_write`), or in batches soon after (`async_sync`)."""

    sync_on_write: bool = False
    async_sync: bool = True

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if not (self.sync_on_write or self.async_sync):
            raise Contradiction(
                "The settings {0} and {1} are both off: set one of them, or the graph would never follow.",
                ("graph", "sync_on_write"),
                ("graph", "async_sync"),
            )
        return self


class Database(_Section):
    postgres: Postgres = Postgres()
    pgvector: Pgvector = Pgvector()
    neo4j: Neo4j = Neo4j()


class Embeddings(_Section):
    """Who makes the vectors. `batch_size` is how many texts go to the provider in one call, at most.

    `timeout_seconds` is the deadline of a call with all its retries; the worker's claim on its batch outlives it.
    """

    provider: Literal["wordllama", "openai"] = "wordllama"
    model: str = Field(default="", pattern=MODEL_NAME)
    batch_size: Whole = Field(default=100, ge=1, le=2_048)
    base_url: str = PUBLIC_API
    timeout_seconds: Share = Field(default=30.0, ge=1, le=50, allow_inf_nan=False)

    @field_validator("base_url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and _has_ports(parts.netloc)
        except ValueError:
            usable = None
        if not usable or not url.isprintable() or " " in url:
            raise ValueError("it has to be a URL such as https://api.openai.com/v1 or http://127.0.0.1:11434/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("it can't hold a password or a ?; a key belongs into OPENAI_API_KEY")
        return url.rstrip("/")


class Routing(_Section):
    """`abstain_below` is the confidence (0 to 1) that a decision needs."""

    abstain_below: Share = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)


class Learning(_Section):
    """Patterns are consolidated after so many new outcomes, and not more often than the pause allows."""

    consolidate_after: Whole = Field(default=50, ge=1, le=1_000_000)
    consolidate_pause_minutes: Whole = Field(default=5, ge=1, le=10_080)


class Auth(_Section):
    """`admin_key` is the secret of a key that may do everything; without it the server makes one at its first start.

    `requests_per_second` is how often each key may ask, at one process.
    """

    admin_key: SecretStr = SecretStr("")
    requests_per_second: Share = Field(default=1000.0, ge=1, le=1_000_000, allow_inf_nan=False)

    @field_validator("admin_key")
    @classmethod
    def _hard_to_guess(cls, key: SecretStr) -> SecretStr:
        token = key.get_secret_value()
        if token and not (32 <= len(token) <= 200 and token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("it needs 32 to 200 printable ASCII characters without spaces: `openssl rand -hex 32`")
        return key


class Northbound(_Section):
    """Whether sources may push. Where to, and that they need a token, is settled. `max_bytes` is for one push."""

    enabled: bool = True
    endpoint: Literal["/api/v1/sync/northbound"] = "/api/v1/sync/northbound"
    auth_required: Settled = True
    max_bytes: Whole = Field(default=16 * 1024 * 1024, ge=1024)


class Sync(_Section):
    """What came north counts, and goes south, once so many sources say it; new ones count for so many cases each."""

    northbound: Northbound = Northbound()
    min_sources: Whole = Field(default=3, ge=1, le=1_000)
    contribution_cap: Whole = Field(default=100, ge=1, le=1_000_000)


class Retention(_Section):
    """After how many days decisions and entries of logs are removed; None: they are kept."""

    episodes_days: Whole | None = Field(default=None, ge=1, le=36_500)
    logs_days: Whole | None = Field(default=None, ge=1, le=36_500)


class Logging(_Section):
    """What stands on standard error: lines of JSON, or for people; `auto` is the latter on a terminal."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(_Section):
    """Everything that can be set. Sizes are in bytes; port 0 lets the system choose one.

    `allowed_hosts` are the names that the server answers to besides its machine's own. Without them, one on loopback
    answers to no others, and one on another address to any.
    """

    model_config = ConfigDict(validate_default=True)

    home: Path = Path("~/.hopper/server")
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Whole = Field(default=8000, ge=0, le=65_535)
    allowed_hosts: HostNames = ()
    max_body_bytes: Whole = Field(default=2 * 1024 * 1024, ge=1024)
    request_timeout_seconds: Share = Field(default=60.0, ge=1, le=3600, allow_inf_nan=False)
    max_bulk_bytes: Whole = Field(default=64 * 1024 * 1024, ge=1024)
    database: Database = Database()
    embeddings: Embeddings = Embeddings()
    routing: Routing = Routing()
    learning: Learning = Learning()
    graph: Graph = Graph()
    sync: Sync = Sync()
    retention: Retention = Retention()
    auth: Auth = Auth()
    logging: Logging = Logging()

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        if "\0" in str(home):
            raise ValueError("a path can't hold a NUL character")
        try:
            return home.expanduser().absolute()
        except RuntimeError:
            raise ValueError(f"the home directory that {home.parts[0]} stands for is unknown") from None

    @model_validator(mode="after")
    def _agree_on_a_model(self) -> Self:
        """One model and one dimension, whichever of their settings were given. Raises Contradiction."""
        stored = self.database.pgvector
        model, dimension = agreed(
            self.embeddings.provider, self.embeddings.model, stored.embedding_model, stored.embedding_dimension
        )
        pgvector = stored.model_copy(update={"embedding_model": model, "embedding_dimension": dimension})
        # Frozen for everybody else.
        object.__setattr__(self, "embeddings", self.embeddings.model_copy(update={"model": model}))
        object.__setattr__(self, "database", self.database.model_copy(update={"pgvector": pgvector}))
        return self

    @property
    def display_url(self) -> str:
        """Where the data is, fit to be shown: the embedded one's directory, or the URL with its secrets masked."""
        url = self.database.postgres.url
        return str(self.home) if url is None else masked(url)


def openai_key(settings: Settings) -> str | None:
    """OPENAI_API_KEY, which is no setting, so that it is never shown or stored.

    Raises BadConfiguration when the provider is to be OpenAI itself and there is none.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if re.search(r"[^!-~]", key):
        raise BadConfiguration("OPENAI_API_KEY holds a character that no key has. Copy the key again.")
    is_openai = settings.embeddings.provider == "openai" and settings.embeddings.base_url == PUBLIC_API
    if not key and is_openai and settings.database.pgvector.enabled:
        raise BadConfiguration(
            "The embeddings are to come from OpenAI ('embeddings.provider'), which needs a key. Put it into the "
            "environment variable OPENAI_API_KEY, or name another server with 'embeddings.base_url'."
        )
    return key or None
