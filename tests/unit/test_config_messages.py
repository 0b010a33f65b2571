"""What a person is told about wrong settings: each with its file and line, or its variable, and all at once."""

import re
from operator import attrgetter
from pathlib import Path

import pytest

from hopper.config import BadConfiguration, load_settings
from hopper.config.environment import OTHERS, USUAL, names_of, own_name
from hopper.config.names import known
from hopper.config.problems import dotted
from hopper.config.reading import read_settings

FILE = "config/server.yaml"
SECRET = "hush"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in (*USUAL, *OTHERS, *map(own_name, known())):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def write(text: str) -> None:
    Path(FILE).parent.mkdir(exist_ok=True)
    Path(FILE).write_text(text)


def refusals(**flags: object) -> list[str]:
    with pytest.raises(BadConfiguration) as refused:
        load_settings(**flags)
    return refused.value.message.splitlines()


EVERYTHING_WRONG = """\
prot: 8001
host: 5
port: 70000
databse: {}
embeddings:
  provider: openai
  model: wordllama-256
database:
  postgres: none
  pgvector:
    enabled: false
  neo4j: {enabled: true,
    pasword: x}
graph: {async_sync: false}
pool_size: 3
"""


def test_each_mistake_is_told_with_its_line_and_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person would start the server once for each mistake, and search a long file for it."""
    write(EVERYTHING_WRONG)
    monkeypatch.setenv("HOPPER_ROUTING__ABSTAIN_BELOW", "2")
    told = refusals(home="~nobody-has-this-name/x")
    lines = [re.search(r"line (\d+)", line) for line in told]
    assert [int(line[1]) for line in lines if line] == [1, 2, 3, 4, 7, 9, 13, 14, 15]
    for said, part in zip(
        told,
        [
            "no setting 'prot' (in config/server.yaml, line 1). Did you mean 'port'?",
            "'host'", "'port'", "Did you mean 'database'?",
            f"'embeddings.model' (in {FILE}, line 7) and 'embeddings.provider' (in {FILE}, line 6)",
            "'database.postgres'", "Did you mean 'database.neo4j.password'?",
            "'graph.sync_on_write' (the default)", "Did you mean 'database.postgres.pool_size'?",
            "--home", "HOPPER_ROUTING__ABSTAIN_BELOW",
        ],
        strict=True,
    ):  # fmt: skip
        assert part in said


def test_a_mistake_that_follows_from_another_isnt_told() -> None:
    """A person who mistyped the provider would be sent to mend a model that is right."""
    write("embeddings: {provider: opnai, model: text-embedding-ada-002}")
    (told,) = refusals()
    assert "'embeddings.provider'" in told


def test_a_setting_that_stands_twice_is_refused_with_both_lines() -> None:
    """The second would win, and a person who changes the first would wonder why nothing happens."""
    write("port: 1\ndatabase:\n  postgres: {pool_size: 4}\nport: 2\ndatabase: {}\n")
    told = refusals()
    assert "line 1 and line 4" in told[0]
    assert "'database'" in told[1]
    assert "line 2 and line 5" in told[1]


def test_what_a_yaml_alias_brings_along_counts_and_isnt_a_double() -> None:
    """Files that share lines the way YAML has for it would be refused."""
    write("database:\n  neo4j: &shared\n    username: me\nsync: {northbound: {enabled: false}}\n")
    assert load_settings().database.neo4j.username == "me"
    write("database:\n  postgres: &a {pool_size: 7}\n  pgvector: {<<: {index: ivfflat}, index: hnsw}\n")
    assert load_settings().database.pgvector.index == "hnsw"


def test_every_setting_can_be_given_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, where the environment is all one has, a setting would be out of reach."""
    given: dict[str, str] = {}
    for place in known():
        value = attrgetter(dotted(place))(load_settings())
        if isinstance(value, int | float | str | Path):
            given[own_name(place)] = str(value)
    given |= {"HOPPER_DATABASE__NEO4J__PASSWORD": SECRET, "HOPPER_DATABASE__POSTGRES__URL": "postgresql://db/hopper"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    reading = read_settings()
    assert reading.settings is not None
    assert {reading.origin(place).name for place in known()} >= given.keys()
    assert reading.settings.database.neo4j.password.get_secret_value() == SECRET
    assert reading.settings.database.postgres.url == "postgresql://db/hopper"


SEEDS = """\
database:
  postgres:
    url: postgresql://hopper:password@localhost:5432/hopper
    pool_size: 20
  pgvector:
    enabled: true
    embedding_model: text-embedding-ada-002
    embedding_dimension: 1536
  neo4j:
    enabled: true
    url: bolt://localhost:7687
    username: neo4j
    password: password
sync:
  northbound:
    enabled: true
    endpoint: /api/v1/sync/northbound
    auth_required: true
embeddings:
  provider: openai
  model: text-embedding-ada-002
  batch_size: 100
graph:
  sync_on_write: true  # Sync to Neo4j on every write
  async_sync: false    # Or batch sync periodically
"""


def test_the_file_that_hopper_was_designed_with_is_accepted() -> None:
    """Whoever has such a file would have to write another."""
    write(SEEDS)
    settings = load_settings()
    assert settings.database.neo4j.enabled
    assert settings.embeddings.model == "text-embedding-ada-002"


def test_hoppers_own_name_of_a_variable_wins_over_a_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that sets DATABASE_URL for all its programs couldn't be overruled for Hopper."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://usual/db")
    monkeypatch.setenv("HOPPER_DATABASE__POSTGRES__URL", "postgresql://own/db")
    assert load_settings().database.postgres.url == "postgresql://own/db"
    assert names_of(("port",)) == ["PORT", "HOPPER_PORT"]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("HOPPER_PROT", "HOPPER_PORT"),
        ("HOPPER_SYNC_MIN_SOURCES", "HOPPER_SYNC__MIN_SOURCES"),
        ("HOPPER_DATABASE__POSTGRES__POOLSIZE", "HOPPER_DATABASE__POSTGRES__POOL_SIZE"),
        ("HOPPER_DATABASE_URL", "DATABASE_URL"),
        ("HOPPER_SEVER", "HOPPER_SERVER"),
        ("HOPPER_NO__SUCH__THING", "Unset it"),
    ],
)
def test_a_slip_in_a_variables_name_is_told(variable: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with a typing mistake would be ignored, and a server run with other settings than it was given."""
    monkeypatch.setenv(variable, SECRET)
    (told,) = refusals()
    assert variable in told
    assert meant in told
    assert SECRET not in told


@pytest.mark.parametrize(
    "variable",
    ["HOPPER_SERVICE_HOST", "HOPPER_SERVICE_PORT", "HOPPER_PORT_8000_TCP", "HOPPER_SERVER", "HOPPER_API_KEY"],
)
def test_variables_that_are_no_slips_pass(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Kubernetes, which sets such variables for a service called hopper, no server would start."""
    monkeypatch.setenv(variable, "x")
    load_settings()


def test_the_list_of_other_variables_is_complete() -> None:
    """A new variable of Hopper's own could be refused as a slip of a setting's."""
    source = Path(__file__).parents[2] / "src"
    read = {
        name
        for path in source.rglob("*.py")
        if path.name != "environment.py"
        for name in re.findall(r"\bHOPPER_[A-Z]+(?:_[A-Z]+)*\b", path.read_text())
    }
    assert read - {own_name(place) for place in known()} <= OTHERS | USUAL.keys()


@pytest.mark.parametrize(
    "text",
    [
        f"database: {{neo4j: {{password: *{SECRET}}}}}",
        f"database:\n  neo4j:\n    password: !{SECRET} x",
        f"database:\n  neo4j:\n    password: %{SECRET}",
        f"database:\n  neo4j:\n    password: !<a%22%27{SECRET}> x",
        f"database:\n  neo4j:\n    password: '{SECRET}",
        f"database:\n  neo4j:\n    password: [{SECRET}]",
        f"database:\n  neo4j:\n    password: {{{SECRET}: {SECRET}}}",
        f"database:\n  neo4j:\n    password {SECRET}",
        f"database:\n  postgres:\n    url postgresql://me:{SECRET}@db/x",
        f"url postgresql://me:{SECRET}@db/x: 1",
        f"database:\n  postgres:\n    url: [postgresql://me:{SECRET}@db/x]",
        f"database:\n  postgres:\n    url: postgresql://me:{SECRET}/x@db/x",
        f"database:\n  neo4j:\n    pasword: {SECRET}",
        f"OPENAI_API_KEY: {SECRET}",
        f"auth:\n  admin_key: {SECRET}\n  <<: x",
        f"auth: &a\n  admin_key: {SECRET}\n  <<: [*a, {SECRET}]",
    ],
)
def test_no_secret_is_repeated(text: str) -> None:
    """A password with a sign that YAML gives a meaning to would end up in the terminal, and in a bug report."""
    write(text)
    told = refusals()
    assert SECRET not in " ".join(told)
    assert all("line " in line for line in told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port: [1\n", "line 1 isn't YAML: expected ',' or ']', but the file ends."),
        ("port: [1\nhost: x\n", "line 2 isn't YAML: expected ',' or ']', but got ':', in what begins in line 1."),
        ("home: 'x\n\n", "line 2 isn't YAML: found unexpected end of stream, in what begins in line 1."),
        ("database:\n\tpostgres: x\n", "line 2 isn't YAML: a tab stands where only spaces may."),
        ("home: @x\n", "line 1 isn't YAML: found character '@' that cannot start any token (a value that"),
    ],
)
def test_what_yaml_misses_is_told_with_a_line_that_there_is(text: str, told: str) -> None:
    """A person would look for a sign that needs quotes where a tab is wrong, or for a line that the file hasn't."""
    write(text)
    [message] = refusals()
    assert told in message


def test_no_setting_repeats_what_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in the wrong place would be printed by whatever setting it landed in."""
    for place in known():
        with monkeypatch.context() as only:
            only.setenv(own_name(place), f"x://{SECRET}:{SECRET} {SECRET}@[:")
            try:
                load_settings()
            except BadConfiguration as refused:
                assert SECRET not in refused.message
                assert own_name(place) in refused.message
