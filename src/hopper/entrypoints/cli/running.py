"""Where a server on this machine is reached."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def running_on(home: Path | None) -> str | None:
    """The address that the server of the data directory left there; it may have ended since."""
    try:
        note: Any = json.loads((home / "server.lock").read_text()) if home else {}
        os.kill(note["pid"], 0)
        parts = urlsplit(note["address"])
        return address_of(parts.hostname or "", parts.port or 80)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None


def address_of(host: str, port: int) -> str:
    """Where a server is reached from its own machine that listens on a host, which may stand for all addresses."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here
    return url_of(name, port)


def url_of(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
