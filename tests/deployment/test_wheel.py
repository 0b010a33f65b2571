"""The wheel: what is in it, and that it runs where nothing else is, as docs/deployment.md installs it under systemd."""

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.images import CHECKOUT

from hopper import __version__

UV = CHECKOUT / ".tools" / "bin" / "uv"
UNIT = CHECKOUT / "deploy" / "hopper.service"
MOST_BYTES = 1_500_000


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the source distribution, from which `uv build` makes the wheel."""
    place = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--out-dir", place, CHECKOUT], check=True)
    return place


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"hopper-{__version__}-py3-none-any.whl"


def test_all_that_is_read_at_run_time_is_in_the_wheel(wheel: Path) -> None:
    """An installed server would miss a migration, or the demo its sample."""
    source = CHECKOUT / "src"
    files = {path.relative_to(source) for path in (source / "hopper").rglob("*") if path.is_file()}
    packed = {Path(name) for name in zipfile.ZipFile(wheel).namelist() if name.startswith("hopper/")}
    assert packed == {path for path in files if "__pycache__" not in path.parts}


def test_a_release_is_small_and_says_what_it_is(built: Path, wheel: Path) -> None:
    """An index or a colleague would get data sets, tests or nothing about the licence."""
    for release in (wheel, built / f"hopper-{__version__}.tar.gz"):
        assert release.stat().st_size < MOST_BYTES
    info = f"hopper-{__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        told = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        assert archive.read(f"{info}/licenses/LICENSE") == (CHECKOUT / "LICENSE").read_bytes()
    assert (told["Version"], told["License-Expression"]) == (__version__, "Apache-2.0")
    assert told.get_payload() == (CHECKOUT / "README.md").read_text()
    assert {"neo4j", "graph", "telemetry"} == set(told.get_all("Provides-Extra", []))


@pytest.fixture
def place(wheel: Path) -> Iterator[Path]:
    """A folder whose bin/ has the wheel's command; not pytest's, which another run closes to PostgreSQL's own user."""
    with TemporaryDirectory(prefix="hopper-wheel-") as directory:
        subprocess.run(
            [UV, "tool", "install", "--quiet", "--constraints", CHECKOUT / "requirements" / "server.txt", wheel],
            check=True,
            env={**os.environ, "UV_TOOL_DIR": f"{directory}/tools", "UV_TOOL_BIN_DIR": f"{directory}/bin"},
        )
        yield Path(directory)


def test_the_wheel_serves_where_nothing_else_is(place: Path) -> None:
    """Nobody could install Hopper but from a checkout. The unit's own command and settings start it."""
    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    setting, _, home = service["Environment"].partition("=")
    assert home == service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    command = service["ExecStart"].removeprefix("/usr/local/bin/").split()
    environment = {"PATH": f"{place}/bin:/usr/bin:/bin", "HOME": str(place), setting: f"{place}/state"}

    def hopper(*arguments: str, **more: str) -> str:
        return subprocess.run(
            ["hopper", *arguments], env=environment | more, cwd=place, check=True, capture_output=True, text=True
        ).stdout

    assert hopper("--version") == f"hopper {__version__}\n"
    with subprocess.Popen(
        [*command, "--json", "--port", "0"], env=environment, cwd=place, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = json.loads(server.stdout.readline())["address"]
            added = json.loads(hopper("add", "Card is declined", "--route", "--json", HOPPER_SERVER=address))
            assert added["title"] == "Card is declined"
        finally:
            server.terminate()
            assert server.wait(60) == 0
    assert not (place / "state" / "postgres" / "postmaster.pid").exists()
