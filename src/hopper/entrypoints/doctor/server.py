"""The server that commands speak to: whether it is ready, its version, and whether it accepts this user's key."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hopper import __version__
from hopper.adapters.http.client import LOOPBACK, checked_address, without_tls
from hopper.entrypoints.cli.admin_key import NAME, VARIABLE, key_for, usual_home
from hopper.entrypoints.cli.choice import choose
from hopper.entrypoints.cli.running import running_on
from hopper.entrypoints.doctor.findings import Finding, ok, warning, wrong

if TYPE_CHECKING:
    import httpx

_SECONDS = 5.0


def server(named: str, home: Path | None, usual: str) -> Iterator[Finding]:
    """The one that is `named`, else the one that runs on the data directory, else that at the usual address."""
    import httpx

    address = checked_address(named or running_on(home) or usual)
    key, origin = _key(home, address)
    yield from _kept(home, origin)
    if key and re.search(r"[^!-~]", key):
        yield wrong(f"The key of {origin} holds a character that no key has.", "Copy it again.")
        return
    try:
        with _client(address) as client:
            found = _version(client)
            if found is None:
                yield wrong(f"What answers at {address} is no Hopper.", "Name another with --server or HOPPER_SERVER.")
                return
            yield from _judged(address, client.get("/readyz"))
        if found != __version__:
            yield warning(f"The server is Hopper {found} and this command {__version__}.", "Use the same version.")
        with _client(address, key) as client:
            yield from _accepted(address, client.get("/api/v1/instances", params={"limit": 1}).status_code, origin)
        if not named:
            yield from _chosen(address)
    except httpx.ConnectError as error:
        if unsafe := without_tls(address, error):
            yield wrong(unsafe.message)
            return
        message = f"No server runs at {address}."
        if named:
            yield wrong(message, "Start it there, or name another with --server or HOPPER_SERVER.")
        else:
            yield ok(f"No server runs at {address}: `hopper serve` starts one")
    except httpx.TimeoutException:
        yield wrong(
            f"The server at {address} gives no answer within {_SECONDS:g} seconds.",
            "If PostgreSQL is down or hangs, mend that: the server goes on by itself then. Else look at its log, and "
            "restart it.",
        )
    except httpx.HTTPError as error:
        yield wrong(
            f"{address} gives no proper answer ({type(error).__name__}).", "Check the address; restart the server."
        )


def told_version(address: str) -> str | None:
    """The version of the Hopper at an address; None if there is none."""
    import httpx

    try:
        with _client(address) as client:
            return _version(client)
    except httpx.HTTPError:
        return None


def _version(client: "httpx.Client") -> str | None:
    try:
        told = client.get("/healthz").json()
        return str(told["version"]) if told["name"] == "hopper" else None
    except (ValueError, LookupError, TypeError):
        return None


def _client(address: str, key: str | None = None) -> "httpx.Client":
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    local = urlsplit(address).hostname in LOOPBACK
    return httpx.Client(base_url=address, headers=headers, timeout=_SECONDS, trust_env=not local, verify=not local)


def _key(home: Path | None, address: str) -> tuple[str | None, str]:
    """The key that commands show to a server, else the one in its data directory, and where that is from."""
    if key := key_for(address):
        return key, VARIABLE if os.environ.get(VARIABLE, "").strip() else str(usual_home() / NAME)
    path = (home or usual_home()) / NAME
    if urlsplit(address).hostname in LOOPBACK and os.access(path, os.R_OK):
        return path.read_text(encoding="ascii", errors="replace").strip() or None, str(path)
    return None, ""


def _kept(home: Path | None, origin: str) -> Iterator[Finding]:
    """What is wrong with how the key is kept."""
    if not origin or origin == VARIABLE:
        return
    path = Path(origin)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield wrong(f"Other users can read {path}, which opens everything.", f"Take that from them: chmod 600 {path}")
    if path.parent != usual_home():
        yield warning(
            f"Commands look for the key in {usual_home() / NAME}, and it is in {path}.", f"export HOPPER_HOME={home}"
        )


def _chosen(address: str) -> Iterator[Finding]:
    """Whether commands go to the server that runs, as long as nobody names it."""
    usual = choose().server
    if usual and usual != address and told_version(usual) is None:
        yield warning(f"Commands go to {usual}, where no Hopper answers.", f"export HOPPER_SERVER={address}")


def _judged(address: str, ready: "httpx.Response") -> Iterator[Finding]:
    """What /readyz says, of the parts as well."""
    try:
        told: dict[str, Any] = ready.json()
        parts = [(name, part["state"], part["advice"]) for name, part in told.get("parts", {}).items()]
    except (ValueError, LookupError, TypeError, AttributeError):
        told, parts = {}, []
    if ready.status_code == 200:
        yield ok(f"The server at {address} is ready")
    else:
        detail = told.get("detail", f"HTTP {ready.status_code}")
        yield wrong(
            f"The server at {address} isn't ready: {detail}", "Its log says more; the other checks may say why."
        )
    for name, state, advice in parts:
        if state != "up":
            yield (wrong if state == "down" else warning)(f"Its {name} is {state}.", advice)


def _accepted(address: str, status: int, origin: str) -> Iterator[Finding]:
    if status == 401:
        if origin:
            yield wrong(
                f"The server at {address} refuses the key of {origin}.",
                f"Have its admin give you another one. If you are its admin, start it anew: it makes {NAME} again.",
            )
        else:
            yield wrong(
                f"The server at {address} wants a key.", "Put the one that its admin gave you into HOPPER_API_KEY."
            )
    elif status < 400 or status == 403:
        yield ok(f"It accepts the key of {origin}" if origin else "It asks for no key")
