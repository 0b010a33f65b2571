"""docker-compose.yml: that Compose takes it, and that what it says to Hopper is what Hopper reads."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.images import CHECKOUT

from hopper import __version__
from hopper.config import Settings, load_settings

COMPOSE = CHECKOUT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
SECRET = "made-up-for-these-tests-and-long-enough"
SECRETS = {"POSTGRES_PASSWORD", "NEO4J_PASSWORD", "HOPPER_ADMIN_KEY"}

_VARIABLE = re.compile(r"\$\{(\w+)(?::([-+?])([^}]*))?}")


def filled(text: str, environment: Mapping[str, str]) -> str:
    """A text with its variables, as Compose fills them in; a required one that is missing is a KeyError."""

    def value(found: re.Match[str]) -> str:
        name, how, other = found.groups()
        given = environment.get(name, "")
        if how == "?" and not given:
            raise KeyError(name)
        if how == "+":
            return other if given else ""
        return given or (other if how == "-" else "")

    return _VARIABLE.sub(value, text)


def heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **given: str) -> Settings:
    """The settings that Hopper has in its container, with these variables set for Compose."""
    for name in [name for name in os.environ if name.startswith(("HOPPER_", "NEO4J_", "DATABASE_"))]:
        monkeypatch.delenv(name)
    for name, value in SERVICES["hopper-api"]["environment"].items():
        monkeypatch.setenv(name, filled(value, {**EXAMPLE, **dict.fromkeys(SECRETS, SECRET), **given}))
    monkeypatch.chdir(tmp_path)
    return load_settings()


def test_compose_takes_the_file() -> None:
    """A typing error would be found by whoever wants to start it. The schema is that of the Compose specification."""
    check = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [check, "--builtin-schema", "vendor.compose-spec", COMPOSE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_services_are_those_of_the_seed() -> None:
    """Hopper would meet a database without pgvector, a Neo4j of another version, or lose its data with a container."""
    assert {name: service["image"] for name, service in SERVICES.items()} == {
        "hopper-api": f"hopper:{__version__}",
        "postgres": "pgvector/pgvector:pg16",
        "neo4j": "neo4j:5",
    }
    declared = yaml.safe_load(COMPOSE.read_text())["volumes"]
    for service in SERVICES.values():
        assert service["volumes"][0].split(":")[0] in declared
        assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_nothing_starts_without_a_password(secret: str) -> None:
    """A server that somebody forgot to configure would be open to everybody who has read this repository."""
    assert EXAMPLE[secret] == ""
    given = {**EXAMPLE, **dict.fromkeys(SECRETS - {secret}, SECRET)}
    with pytest.raises(KeyError, match=secret):
        filled(COMPOSE.read_text(), given)
    assert SECRET in filled(COMPOSE.read_text(), {**given, secret: SECRET})


def test_every_variable_is_in_the_template() -> None:
    """Nobody would learn what can be set, or would set what nothing reads."""
    assert {found[1] for found in _VARIABLE.finditer(COMPOSE.read_text())} == EXAMPLE.keys()


def test_only_the_api_can_be_published_to_others() -> None:
    """A database would be reachable from other machines, past a firewall: Docker writes its own rules."""
    for name, service in SERVICES.items():
        for port in service["ports"]:
            assert filled(port, EXAMPLE).startswith("127.0.0.1:")
            assert ("$" in port) == (name == "hopper-api")


def test_hopper_waits_for_postgresql_and_not_for_neo4j() -> None:
    """Its first start would fail while PostgreSQL makes its database, or wait for a Neo4j that isn't wanted."""
    waits = SERVICES["hopper-api"]["depends_on"]
    assert waits["postgres"]["condition"] == "service_healthy"
    assert waits["neo4j"]["required"] is False
    assert SERVICES["neo4j"]["profiles"] == [EXAMPLE["COMPOSE_PROFILES"]]
    for database in ("postgres", "neo4j"):
        assert SERVICES[database]["healthcheck"]["test"][0] == "CMD"


def test_hopper_hears_where_its_databases_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would start a PostgreSQL of its own inside its container, and leave the other one empty."""
    settings = heard(monkeypatch, tmp_path)
    assert settings.database.postgres.url == f"postgresql://hopper:{SECRET}@postgres:5432/hopper"
    assert settings.database.neo4j.enabled
    assert settings.database.neo4j.url == "bolt://neo4j:7687"
    assert settings.database.neo4j.password.get_secret_value() == SECRET
    assert settings.allowed_hosts == ("hopper-api",)
    assert os.environ["HOPPER_ADMIN_KEY"] == os.environ["HOPPER_API_KEY"] == SECRET
    database = SERVICES["postgres"]["environment"]
    assert (database["POSTGRES_USER"], database["POSTGRES_DB"]) == ("hopper", "hopper")
    assert filled(SERVICES["neo4j"]["environment"]["NEO4J_AUTH"], {"NEO4J_PASSWORD": SECRET}) == f"neo4j/{SECRET}"


def test_without_the_profile_there_is_no_graph(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hopper would look for a Neo4j for ever that nobody started."""
    assert not heard(monkeypatch, tmp_path, COMPOSE_PROFILES="").database.neo4j.enabled
