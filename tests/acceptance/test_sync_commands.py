"""`hopper sync sources`, as whoever runs a server uses it."""

from uuid import uuid4

import httpx
import pytest
from tests.acceptance.test_cli import Cli
from tests.conftest import RunningServer
from tests.sync import a_push


@pytest.fixture
def hopper(server: RunningServer) -> Cli:
    return Cli(server.url)


@pytest.fixture
def source() -> str:
    return f"cli-{uuid4().hex[:12]}"


def listed(hopper: Cli, source: str) -> list[str]:
    """The source's line in the table, by its columns."""
    [line] = [line for line in hopper.ok("sync", "sources", "list").splitlines() if line.startswith(source)]
    return line.split()


def test_a_source_is_added_heard_muted_capped_revoked_and_forgotten(hopper: Cli, source: str) -> None:
    """Whoever runs the server couldn't stop a source that teaches nonsense."""
    token = hopper.ok("sync", "sources", "add", source, "--name", "laptop").strip()
    assert listed(hopper, source)[1:] == ["laptop", "active", "100", "0", "0", "0", "never"]
    pushed = httpx.post(
        f"{hopper.url}/api/v1/sync/northbound",
        json=a_push(source),
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert pushed.status_code == 200
    assert listed(hopper, source)[1:7] == ["laptop", "active", "100", "1", "1", "4"]
    assert "muted" in hopper.ok("sync", "sources", "mute", source)
    assert "active" in hopper.ok("sync", "sources", "mute", source, "--off")
    assert hopper.json("sync", "sources", "cap", source, "7")["contribution_cap"] == 7
    assert hopper.json("sync", "sources", "revoke", source)["is_revoked"] is True
    assert hopper.json("sync", "sources", "forget", source) == {"source_instance_id": source, "forgotten": True}
    assert source not in {one["source_instance_id"] for one in hopper.json("sync", "sources", "list")}


def test_the_token_is_shown_once(hopper: Cli, source: str) -> None:
    """Whoever could read the list could speak for every source."""
    token = hopper.json("sync", "sources", "add", source)["token"]
    secret = token.rpartition("_")[2]
    assert secret not in hopper.ok("sync", "sources", "list", "--json")
    again = hopper("sync", "sources", "add", source)
    assert again.code == 4
    assert "Revoke" in again.err
    hopper.ok("sync", "sources", "forget", source)


@pytest.mark.parametrize("command", [("mute",), ("revoke",), ("forget",), ("cap", "5")])
def test_a_source_that_isnt_there_is_told(hopper: Cli, command: tuple[str, ...]) -> None:
    """A slip of the pen would look like success, while the source goes on."""
    name, *more = command
    missing = hopper("sync", "sources", name, "nobody-there", *more)
    assert missing.code == 3
    assert "nobody-there" in missing.err
