"""Settings: where they come from, which source wins, and what a person is told about a wrong one."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from hopper.config import BadConfiguration, Settings, load_settings, openai_key
from hopper.entrypoints.cli.choice import nearest

VARIABLES = (
    "HOPPER_HOME", "HOPPER_HOST", "HOPPER_PORT", "PORT", "DATABASE_URL", "HOPPER_CONFIG", "OPENAI_API_KEY",
    "NEO4J_URL", "NEO4J_USERNAME", "NEO4J_PASSWORD",
    "HOPPER_ADMIN_KEY", "HOPPER_ALLOWED_HOSTS", "HOPPER_AUTH__REQUESTS_PER_SECOND",
)  # fmt: skip
EXAMPLE = Path(__file__).parents[2] / "config" / "server.example.yaml"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def write(text: str | bytes, path: str = "config/server.yaml") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def refusal(**flags: object) -> str:
    with pytest.raises(BadConfiguration) as refused:
        load_settings(**flags)
    return refused.value.message


def test_defaults() -> None:
    """With no file and no variables, a newcomer's server would not start on 127.0.0.1 with its own PostgreSQL."""
    settings = load_settings()
    assert settings.home == Path.home() / ".hopper" / "server"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.database.postgres.url is None
    assert settings.database.postgres.pool_size == 20
    assert settings.database.pgvector.embedding_dimension == 256
    assert settings.embeddings.provider == "wordllama"
    assert settings.routing.abstain_below == 0.5
    assert settings.max_body_bytes == 2 * 1024**2
    assert settings.max_bulk_bytes == 64 * 1024**2


def test_each_source_wins_over_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag for one run, or a container's environment, would be overruled by a file that somebody forgot."""
    write("port: 8001\nhost: 0.0.0.1\ndatabase: {postgres: {pool_size: 7, url: 'postgresql://file/db'}}")
    assert load_settings().port == 8001
    monkeypatch.setenv("PORT", "8002")
    assert load_settings().port == 8002
    monkeypatch.setenv("HOPPER_PORT", "8003")
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/db")
    assert load_settings().port == 8003
    settings = load_settings(port=8004, host=None, database={"postgres": {"url": "postgresql://flag/db"}})
    assert (settings.port, settings.host) == (8004, "0.0.0.1")
    assert settings.database.postgres.url == "postgresql://flag/db"
    assert settings.database.postgres.pool_size == 7


def test_the_file_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a file of its own would silently run with another's settings, or with none."""
    write("port: 8001")
    write("port: 9001", "elsewhere.yaml")
    monkeypatch.setenv("HOPPER_CONFIG", "elsewhere.yaml")
    assert load_settings().port == 9001
    monkeypatch.setenv("HOPPER_CONFIG", "missing.yaml")
    assert "missing.yaml" in refusal()


def test_the_example_file_holds_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying the example, as it says, would change how the server behaves or stop it from starting."""
    defaults = load_settings()
    monkeypatch.setenv("HOPPER_CONFIG", str(EXAMPLE))
    assert load_settings() == defaults


@pytest.mark.parametrize("text", ["", "# nothing\n", "database:\n  postgres:\n    # url: x\n", "port:\n"])
def test_what_is_left_empty_says_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commenting out the last line of a section, or exporting an empty variable, would stop the server."""
    write(text)
    monkeypatch.setenv("HOPPER_PORT", "")
    monkeypatch.setenv("DATABASE_URL", "")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("databse: {}", "'databse'"),
        ("database: {postgres: {pool: 3}}", "'database.postgres.pool'"),
        ("port: many", "'port'"),
        ("port: true", "'port'"),
        ("port: 70000", "'port'"),
        ("database: 5", "'database'"),
        ("database: {postgres: {pool_size: 0}}", "'database.postgres.pool_size'"),
        ("database: {pgvector: {embedding_dimension: 1536}}", "'database.pgvector.embedding_dimension'"),
        ("embeddings: {provider: telepathy}", "'embeddings.provider'"),
        ("embeddings: {batch_size: 0}", "'embeddings.batch_size'"),
        ("embeddings: {model: 'a model'}", "'embeddings.model'"),
        ("embeddings: {timeout_seconds: .inf}", "'embeddings.timeout_seconds'"),
        ("embeddings: {base_url: api.openai.com}", "'embeddings.base_url'"),
        ("embeddings: {base_url: 'ftp://host/v1'}", "'embeddings.base_url'"),
        ("embeddings: {base_url: 'http://host:port/v1'}", "'embeddings.base_url'"),
        ("embeddings: {base_url: 'http://[host/v1'}", "'embeddings.base_url'"),
        ("embeddings: {api_key: sk-1}", "'embeddings.api_key'"),
        ("routing: {abstain_below: 1.5}", "'routing.abstain_below'"),
        ("routing: {abstain_below: .nan}", "'routing.abstain_below'"),
        ("home: ~nobody-has-this-name/x", "'home'"),
        ('home: "a\\0b"', "'home'"),
        ("on: 1", "'on'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(text: str, key: str) -> None:
    """A typing mistake would be ignored, or end in a traceback that doesn't say which line to mend."""
    write(text)
    message = refusal()
    assert key in message
    assert "config/server.yaml" in message


def test_all_wrong_settings_are_told_at_once() -> None:
    """A person would mend one mistake a start, and find the next only then."""
    write("prot: 1\nhost: [a]")
    assert "'prot'" in refusal()
    assert "'host'" in refusal()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("port: 1\n  host: [", "line 2"),
        ("- port", "has to hold settings"),
        ("just words", "has to hold settings"),
        (b"\xff\xfe\xfa", "UTF-8"),
        ("port: &loop [*loop]", "line 1"),
        ("a: " + "[" * 1200, "nested"),
        ("a: \x01", "isn't text"),
    ],
)
def test_a_file_that_is_no_settings_file(text: str | bytes, part: str) -> None:
    """A damaged file would end in a parser's traceback."""
    write(text)
    message = refusal()
    assert part in message
    assert "config/server.yaml" in message


def test_a_directory_in_the_files_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container that mounts a missing file gets a directory, and its server would end in a traceback."""
    monkeypatch.setenv("HOPPER_CONFIG", str(tmp_path))
    assert str(tmp_path) in refusal()


@contextmanager
def somebody_without_rights(barred: Path) -> Iterator[str]:
    """The name of a user who may not use a path. Root may use all, so it becomes another one meanwhile."""
    if os.geteuid() == 0:
        barred.chmod(0o700)
        os.setresuid(65534, 65534, 0)
        try:
            yield pwd.getpwuid(65534).pw_name
        finally:
            os.setresuid(0, 0, 0)
    else:
        barred.chmod(0)
        try:
            yield pwd.getpwuid(os.geteuid()).pw_name
        finally:
            barred.chmod(0o700)


@pytest.mark.parametrize("barred", ["etc/server.yaml", "etc"])
def test_a_file_that_may_not_be_read_is_told_with_who_may_not(barred: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose file belongs to root would say that permission is denied, and start again for ever."""
    path = write("port: 8001", "etc/server.yaml")
    Path().chmod(0o755)
    path.parent.chmod(0o755)
    monkeypatch.setenv("HOPPER_CONFIG", str(path))
    with somebody_without_rights(Path(barred)) as user:
        message = refusal()
    assert f"The configuration file {path} can't be read by the user {user}." in message
    assert f"chown {user} {path}" in message


def test_in_another_users_directory_nothing_is_looked_for() -> None:
    """`sudo -u hopper hopper …` would fail wherever root happens to stand, and name a file that isn't there."""
    write("port: 8001")
    (Path() / ".hopper").mkdir()
    with somebody_without_rights(Path()):
        assert (load_settings().port, nearest(Path.cwd())) == (8000, None)
    assert load_settings().port == 8001


@pytest.mark.parametrize("variable", ["PORT", "HOPPER_PORT"])
def test_a_wrong_variable_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person would look for the mistake in the file when it is in the environment."""
    write("port: 8001")
    monkeypatch.setenv(variable, "http")
    message = refusal()
    assert variable in message
    assert "server.yaml" not in message


def test_a_wrong_flag_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person would look for the mistake in the environment when it is in the command just typed."""
    monkeypatch.setenv("PORT", "8001")
    assert "command line" in refusal(port=-1)
    assert "'prot'" in refusal(prot=1)


SECRET = "hush"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{SECRET}@db:5432/hopper", "postgresql://me:***@db:5432/hopper"),
        (
            f"postgresql://me@db/hopper?password={SECRET}&sslmode=require",
            "postgresql://me@db/hopper?password=***&sslmode=require",
        ),
        (f"postgres://me:{SECRET}@a:1,b:2/hopper", "postgres://me:***@a:1,b:2/hopper"),
        (f"postgresql://me:{SECRET}@[::1]:5432/hopper", "postgresql://me:***@[::1]:5432/hopper"),
        (f"postgresql://me:{SECRET}@/hopper?host=/run/pg", "postgresql://me:***@/hopper?host=/run/pg"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's password would stand in the terminal, in a log, or in a pasted bug report."""
    monkeypatch.setenv("DATABASE_URL", url)
    settings = load_settings()
    assert settings.database.postgres.url == url
    assert settings.display_url == shown
    assert SECRET not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://me:{SECRET}@db/hopper",
        f"postgresql://me:{SECRET}/x@db/hopper",
        f"postgresql://me:1/{SECRET}@db/hopper",
        f"postgresql://me:1?{SECRET}@db/hopper",
        f"postgresql://me:1#{SECRET}@db/hopper",
        f"postgresql://me:{SECRET}@db:port/hopper",
        f"postgresql://[{SECRET}/hopper",
        SECRET,
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password with a special character would fail later as an unknown host, and be printed on the way."""
    monkeypatch.setenv("DATABASE_URL", url)
    message = refusal()
    assert "DATABASE_URL" in message
    assert SECRET not in message


def test_the_embedded_database_is_shown_as_its_directory(tmp_path: Path) -> None:
    """The server couldn't say where the data is."""
    assert load_settings(home=tmp_path / "data").display_url == str(tmp_path / "data")


def test_settings_stay_as_they_were_read() -> None:
    """Code far from the start could change a setting for everybody else."""
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.port = 1


OPENAI = "embeddings: {provider: openai"


@pytest.mark.parametrize(
    ("text", "model", "dimension"),
    [
        ("", "wordllama-256", 256),
        (OPENAI + "}", "text-embedding-ada-002", 1536),
        (OPENAI + ", model: text-embedding-3-small}", "text-embedding-3-small", 1536),
        (OPENAI + ", model: text-embedding-3-large}", "text-embedding-3-large", 3072),
        (
            OPENAI + "}\ndatabase: {pgvector: {embedding_model: text-embedding-3-large}}",
            "text-embedding-3-large",
            3072,
        ),
        (
            OPENAI + ", model: 'nomic-embed-text:v1.5'}\ndatabase: {pgvector: {embedding_dimension: 768}}",
            "nomic-embed-text:v1.5",
            768,
        ),
        (
            OPENAI + ", model: text-embedding-ada-002, batch_size: 100}\n"
            "database: {pgvector: {enabled: true, embedding_model: text-embedding-ada-002, embedding_dimension: 1536}}",
            "text-embedding-ada-002",
            1536,
        ),
    ],
)
def test_one_model_whichever_setting_names_it(text: str, model: str, dimension: int) -> None:
    """The seed's file couldn't be used, or vectors of one model would be searched as those of another."""
    write(text)
    settings = load_settings()
    assert settings.embeddings.model == settings.database.pgvector.embedding_model == model
    assert settings.database.pgvector.embedding_dimension == dimension


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            OPENAI + ", model: a}\ndatabase: {pgvector: {embedding_model: b, embedding_dimension: 8}}",
            ["'embeddings.model' (", "'database.pgvector.embedding_model' (", "a and b", "line 1", "line 2"],
        ),
        (
            OPENAI + "}\ndatabase: {pgvector: {embedding_dimension: 256}}",
            ["'database.pgvector.embedding_dimension'", "text-embedding-ada-002", "1536", "256"],
        ),
        (OPENAI + ", model: nomic-embed-text}", ["'database.pgvector.embedding_dimension'", "nomic-embed-text"]),
        (OPENAI + ", model: wordllama-256}", ["'embeddings.model'", "'embeddings.provider'"]),
        (
            "database: {pgvector: {embedding_model: text-embedding-ada-002}}",
            ["'database.pgvector.embedding_model'", "'embeddings.provider'"],
        ),
    ],
)
def test_settings_that_contradict_each_other_are_both_named(text: str, parts: list[str]) -> None:
    """A person would change one of two settings, and wonder which of them counts."""
    write(text)
    message = refusal()
    assert len(message.splitlines()) == 1
    for part in [*parts, "config/server.yaml"]:
        assert part in message


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without a key would start, and fail with each task; one on one's own machine needs none."""
    assert openai_key(load_settings()) is None
    theirs, ours = {"provider": "openai"}, {"provider": "openai", "base_url": "http://127.0.0.1:11434/v1/"}
    assert openai_key(load_settings(embeddings=ours)) is None
    assert load_settings(embeddings=ours).embeddings.base_url == "http://127.0.0.1:11434/v1"
    monkeypatch.setenv("OPENAI_API_KEY", " ")
    for base_url in ("https://api.openai.com/v1", "https://api.openai.com/v1/"):
        with pytest.raises(BadConfiguration, match="OPENAI_API_KEY"):
            openai_key(load_settings(embeddings=theirs | {"base_url": base_url}))
    assert openai_key(load_settings(embeddings=theirs, database={"pgvector": {"enabled": False}})) is None
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\n")
    assert openai_key(load_settings(embeddings=theirs)) == SECRET
    assert SECRET not in repr(load_settings(embeddings=theirs))


@pytest.mark.parametrize("key", [f"{SECRET} {SECRET}", f"{SECRET}é", f"{SECRET}\r\n{SECRET}"])
def test_a_key_that_cant_be_one_isnt_repeated(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The web client's own message about such a key would show it."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(BadConfiguration, match="OPENAI_API_KEY") as refused:
        openai_key(load_settings(embeddings={"provider": "openai"}))
    assert SECRET not in refused.value.message


@pytest.mark.parametrize("url", [f"https://me:{SECRET}@host/v1", f"https://host/v1?key={SECRET}"])
def test_a_secret_in_the_base_url_is_refused_and_not_repeated(url: str) -> None:
    """It would be shown wherever the provider is named."""
    write(f"embeddings: {{base_url: '{url}'}}")
    message = refusal()
    assert "'embeddings.base_url'" in message
    assert SECRET not in message


# The graph

SEEDS = f"""
database:
  neo4j:
    enabled: true
    url: bolt://localhost:7687
    username: neo4j
    password: {SECRET}
graph:
  sync_on_write: true
  async_sync: false
"""


def test_the_seeds_graph_settings_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed's file and its containers' NEO4J_URL would be refused, or name another Neo4j than is used."""
    write(SEEDS)
    settings = load_settings()
    neo4j = settings.database.neo4j
    assert (neo4j.enabled, neo4j.url, neo4j.username) == (True, "bolt://localhost:7687", "neo4j")
    assert neo4j.password.get_secret_value() == SECRET
    assert (settings.graph.sync_on_write, settings.graph.async_sync) == (True, False)
    assert SECRET not in repr(settings)
    for variable, value in {"URL": "neo4j+s://graph:7688", "USERNAME": "hopper", "PASSWORD": "another"}.items():
        monkeypatch.setenv(f"NEO4J_{variable}", value)
    neo4j = load_settings().database.neo4j
    assert (neo4j.url, neo4j.username, neo4j.password.get_secret_value()) == (
        "neo4j+s://graph:7688", "hopper", "another",
    )  # fmt: skip


def test_the_graph_is_in_neo4j_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody's first start would fetch Neo4j, or an external one that is named would be passed over."""
    settings = load_settings()
    assert (settings.database.neo4j.enabled, settings.database.neo4j.url) == (False, None)
    assert (settings.graph.sync_on_write, settings.graph.async_sync) == (False, True)
    monkeypatch.setenv("NEO4J_URL", "bolt://graph:7687")
    assert load_settings().database.neo4j.enabled
    assert load_settings(database={"neo4j": {"enabled": True}}).database.neo4j.url == "bolt://graph:7687"
    write("database: {neo4j: {enabled: false}}")
    assert not load_settings().database.neo4j.enabled


@pytest.mark.parametrize(
    "url",
    ["http://graph:7474", "bolt://", "bolt://graph:x", f"bolt://neo4j:{SECRET}@graph", f"bolt://neo4j@gr:{SECRET}"],
)
def test_a_neo4j_url_that_cant_be_one_is_refused_and_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server would start without its graph, or show the password wherever the graph's address is shown."""
    monkeypatch.setenv("NEO4J_URL", url)
    message = refusal()
    assert "'database.neo4j.url' (from the environment, NEO4J_URL)" in message
    assert SECRET not in message


def test_the_names_of_a_server_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was written as an address would never match, and everybody would be refused without a reason."""
    write("allowed_hosts: [Hopper.example.com, hopper]")
    assert load_settings().allowed_hosts == ("hopper.example.com", "hopper")
    monkeypatch.setenv("HOPPER_ALLOWED_HOSTS", "a.example, b.example,")
    assert load_settings().allowed_hosts == ("a.example", "b.example")
    for wrong in ("https://a.example", "a.example:8000", "*.example"):
        monkeypatch.setenv("HOPPER_ALLOWED_HOSTS", wrong)
        assert "HOPPER_ALLOWED_HOSTS" in refusal()


def test_everything_is_kept_unless_days_are_set() -> None:
    """A server would remove decisions that nobody asked it to, or keep what has to go."""
    assert load_settings().retention.episodes_days is None
    write("retention:\n  episodes_days: 30\n")
    assert (load_settings().retention.episodes_days, load_settings().retention.logs_days) == (30, None)
    write("retention:\n  logs_days: 0\n")
    assert "retention.logs_days" in refusal()
