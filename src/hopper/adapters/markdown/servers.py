"""The addresses of the servers that a person has pushed an instance's tasks to.

They are kept in the person's cache directory, not in the instance's: what came with somebody's repository names no
server that the person's key is then shown to.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hopper.adapters.markdown.places import cached, write_private

_NAME = "servers.json"


def known_servers(root: Path) -> Mapping[str, str]:
    """By the server's id, the address that it was last spoken to at; none where that isn't known any more."""
    try:
        found = json.loads((cached(root, "pushed") / _NAME).read_bytes())
        return {str(id): str(address) for id, address in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def keep_server(root: Path, id: str, address: str) -> None:
    """Know the server by this address from now on, as far as the disk allows: a person can always name it."""
    known = known_servers(root)
    if known.get(id) == address:
        return
    with suppress(OSError):
        write_private(cached(root, "pushed"), _NAME, {**known, id: address})
