"""Settings: defaults < config/server.yaml < environment < flags."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from hopper.domain.errors import HopperError
from hopper.domain.ids import MODEL_NAME

_ENVIRONMENT = {
    "HOPPER_HOME": ("home",),
    "HOPPER_HOST": ("host",),
    "PORT": ("port",),
    "HOPPER_PORT": ("port",),
    "DATABASE_URL": ("database", "postgres", "url"),
    "NEO4J_URL": ("database", "neo4j", "url"),
    "NEO4J_USERNAME": ("database", "neo4j", "username"),
    "NEO4J_PASSWORD": ("database", "neo4j", "password"),
    "HOPPER_ADMIN_KEY": ("auth", "admin_key"),
}
"""Which setting an environment variable gives; a later line wins."""

PUBLIC_API = "https://api.openai.com/v1"

_DIMENSIONS = {
    "wordllama-256": 256,
    "wordllama-128": 128,
    "wordllama-64": 64,
    "text-embedding-ada-002": 1536,
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
}
"""How many numbers a vector of the models has that Hopper knows (https://platform.openai.com/docs/guides/embeddings)."""

_FIRST_CHOICE = {"wordllama": "wordllama-256", "openai": "text-embedding-ada-002"}

_BOLT = {"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"}
"""The schemes of Neo4j's driver; +s is encrypted, +ssc trusts any certificate."""

_SHOWN_OPTIONS = {"host", "port", "dbname", "sslmode"}
"""What may stand behind the ? of a database's URL and is no secret."""


class BadConfiguration(HopperError):
    """A setting is unknown or has a value that can't be used."""

    slug = "bad-configuration"


def _number(value: Any) -> Any:
    """Refuse what YAML reads as a truth value (true, yes, on), which pydantic would take for 1."""
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not true or false")
    return value


Whole = Annotated[int, BeforeValidator(_number)]
Share = Annotated[float, BeforeValidator(_number)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Postgres(_Section):
    """`url` None means the embedded PostgreSQL under `home`; it may hold a password and isn't shown."""

    url: str | None = Field(default=None, repr=False)
    pool_size: Whole = Field(default=20, ge=4, le=500)

    @field_validator("url")
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


def _has_ports(netloc: str) -> bool:
    """Whether each host has a numeric port or none: `host:5432,other`, `[::1]:5432`."""
    hosts = netloc.rpartition("@")[2].split(",")
    ports = [host.rpartition("]")[2].partition(":")[2] for host in hosts]
    return all(port == "" or (port.isdecimal() and int(port) <= 65_535) for port in ports)


class Pgvector(_Section):
    """The model whose vectors are searched, how many numbers each has, and the kind of index over many of them.

    `Settings` fills in what isn't given.
    """

    enabled: Literal[True] = True
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
            raise ValueError("set sync_on_write or async_sync: without either the graph would never follow")
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
    auth_required: Literal[True] = True
    max_bytes: Whole = Field(default=16 * 1024 * 1024, ge=1024)


class Sync(_Section):
    """What came north counts, and goes south, once so many sources say it; new ones count for so many cases each."""

    northbound: Northbound = Northbound()
    min_sources: Whole = Field(default=3, ge=1, le=1_000)
    contribution_cap: Whole = Field(default=100, ge=1, le=1_000_000)


class Settings(BaseSettings):
    """Everything that can be set. Sizes are in bytes; port 0 lets the system choose one."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    home: Path = Path("~/.hopper/server")
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Whole = Field(default=8000, ge=0, le=65_535)
    max_body_bytes: Whole = Field(default=2 * 1024 * 1024, ge=1024)
    max_bulk_bytes: Whole = Field(default=64 * 1024 * 1024, ge=1024)
    database: Database = Database()
    embeddings: Embeddings = Embeddings()
    routing: Routing = Routing()
    learning: Learning = Learning()
    graph: Graph = Graph()
    sync: Sync = Sync()
    auth: Auth = Auth()

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
        """One model and one dimension, whichever of their settings were given. Raises BadConfiguration."""
        model, dimension = _agreed(self.embeddings, self.database.pgvector)
        pgvector = self.database.pgvector.model_copy(
            update={"embedding_model": model, "embedding_dimension": dimension}
        )
        # Frozen for everybody else.
        object.__setattr__(self, "embeddings", self.embeddings.model_copy(update={"model": model}))
        object.__setattr__(self, "database", self.database.model_copy(update={"pgvector": pgvector}))
        return self

    @property
    def display_url(self) -> str:
        """Where the data is, fit to be shown: the embedded one's directory, or the URL without its secrets."""
        url = self.database.postgres.url
        if url is None:
            return str(self.home)
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        options = [(name, value) for name, value in parse_qsl(parts.query) if name in _SHOWN_OPTIONS]
        return urlunsplit(
            parts._replace(netloc=user.partition(":")[0] + at + hosts, query=urlencode(options, safe="/"))
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, _Given(settings_cls, _from_environment()), _Given(settings_cls, _from_file(_file())))


def _agreed(embeddings: Embeddings, pgvector: Pgvector) -> tuple[str, int]:
    """The model and its dimension. Raises BadConfiguration where two settings say different things."""
    provider, named, stored = embeddings.provider, embeddings.model, pgvector.embedding_model
    if named and stored and named != stored:
        raise BadConfiguration(
            f"The settings 'embeddings.model' ({named}) and 'database.pgvector.embedding_model' ({stored}) name "
            f"different models (in {_file()}). Give one of them, or the same in both."
        )
    model, key = named or stored, "embeddings.model" if named else "database.pgvector.embedding_model"
    model = model or _FIRST_CHOICE[provider]
    if model.startswith("wordllama-") != (provider == "wordllama"):
        raise BadConfiguration(
            f"The settings {key!r} ({model}) and 'embeddings.provider' ({provider}) don't go together (in {_file()}): "
            "wordllama has the models wordllama-256, wordllama-128 and wordllama-64, and no other provider has them."
        )
    if provider == "wordllama" and model not in _DIMENSIONS:
        raise BadConfiguration(
            f"The setting {key!r} ({model}, in {_file()}) is wrong: "
            "wordllama has the models wordllama-256, wordllama-128 and wordllama-64."
        )
    known, given = _DIMENSIONS.get(model), pgvector.embedding_dimension
    if known and given and known != given:
        raise BadConfiguration(
            f"The setting 'database.pgvector.embedding_dimension' (in {_file()}) is wrong: the model {model} has "
            f"{known} dimensions, not {given}. Remove it, or name the model that it belongs to."
        )
    if not known and not given:
        raise BadConfiguration(
            f"The setting 'database.pgvector.embedding_dimension' (in {_file()}) is missing: give the number of "
            f"dimensions of the model {model}, which Hopper doesn't know."
        )
    return model, known or given


def openai_key(settings: Settings) -> str | None:
    """OPENAI_API_KEY, which is no setting, so that it is never shown or stored.

    Raises BadConfiguration when the provider is to be OpenAI itself and there is none.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if re.search(r"[^!-~]", key):
        raise BadConfiguration("OPENAI_API_KEY holds a character that no key has. Copy the key again.")
    if not key and settings.embeddings.provider == "openai" and settings.embeddings.base_url == PUBLIC_API:
        raise BadConfiguration(
            "The embeddings are to come from OpenAI ('embeddings.provider'), which needs a key. Put it into the "
            "environment variable OPENAI_API_KEY, or name another server with 'embeddings.base_url'."
        )
    return key or None


class _Given(PydanticBaseSettingsSource):
    """Settings that have been read already."""

    def __init__(self, settings_cls: type[BaseSettings], given: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._given = given

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._given.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._given


def load_settings(**flags: Any) -> Settings:
    """The settings in force; flags that are None don't count. Raises BadConfiguration."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)
        raise BadConfiguration("\n".join(_told(one["loc"], one["type"], one["msg"], given) for one in wrong)) from None


def _told(place: Sequence[int | str], kind: str, reason: str, flags: Mapping[str, Any]) -> str:
    key = ".".join(str(step) for step in place)
    origin = _origin(place, flags)
    if kind == "extra_forbidden":
        return f"There is no setting {key!r} ({origin}). Remove it, or correct its name."
    return f"The setting {key!r} ({origin}) is wrong: {reason.removeprefix('Value error, ')}."


def _origin(place: Sequence[int | str], flags: Mapping[str, Any]) -> str:
    """Which flag, variable or file gave the setting at `place`: the strongest one that has it."""
    if _holds(flags, place):
        return "given on the command line"
    for variable, path in reversed(_ENVIRONMENT.items()):
        if os.environ.get(variable) and path[: len(place)] == tuple(place):
            return f"from the environment, {variable}"
    return f"in {_file()}"


def _holds(given: Any, place: Sequence[int | str]) -> bool:
    for step in place:
        if not isinstance(given, Mapping) or step not in given:
            return False
        given = given[step]
    return True


def _from_environment() -> dict[str, Any]:
    """The few variables that the documentation names; an empty one doesn't count."""
    given: dict[str, Any] = {}
    for variable, path in _ENVIRONMENT.items():
        if value := os.environ.get(variable):
            section = given
            for step in path[:-1]:
                section = section.setdefault(step, {})
            section[path[-1]] = value
    return given


def _from_file(path: Path | None) -> dict[str, Any]:
    """The file's settings, without those left empty. Raises BadConfiguration."""
    if path is None:
        return {}
    from yaml import YAMLError, safe_load

    try:
        read = safe_load(path.read_text(encoding="utf-8"))
        odd = _odd_names(read)
        filled = _filled(read or {})
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it holds something that isn't text"
        raise BadConfiguration(f"{path}{where} isn't YAML: {problem}.") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it isn't UTF-8 text, or is nested too deeply"
        raise BadConfiguration(f"{path} can't be read: {reason}.") from None
    if not isinstance(filled, dict):
        raise BadConfiguration(f"{path} has to hold settings, one `name: value` a line, and holds something else.")
    if odd:
        raise BadConfiguration(f"There is no setting {str(odd[0])!r} (in {path}). Remove it.")
    return filled


def _odd_names(value: Any) -> list[Any]:
    """Names that aren't text: to YAML, `on` and `8000` aren't."""
    if not isinstance(value, dict):
        return []
    here = [name for name in value if not isinstance(name, str)]
    return here + [name for inner in value.values() for name in _odd_names(inner)]


def _filled(value: Any) -> Any:
    """A mapping without empty values: `postgres:` above lines that are all commented out says nothing."""
    if not isinstance(value, dict):
        return value
    return {key: _filled(inner) for key, inner in value.items() if inner is not None}


def _file() -> Path | None:
    named = os.environ.get("HOPPER_CONFIG")
    if named:
        if not Path(named).is_file():
            raise BadConfiguration(f"HOPPER_CONFIG names {named}, which isn't there.")
        return Path(named)
    usual = Path("config/server.yaml")
    return usual if usual.is_file() else None
