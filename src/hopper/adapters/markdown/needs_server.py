"""What a local instance hasn't."""

from typing import Any

from hopper.domain.errors import Unavailable


class NeedsServer:
    """Stands for a part, or the rest of one: whatever is asked of it needs a server."""

    def __getattr__(self, name: str) -> Any:
        raise Unavailable("This needs a server: a local instance can't do it. Name one with --server.")
