"""What a pattern calls its target when it leaves: nothing, a code, or its name, as the person has chosen."""

import hmac
from dataclasses import dataclass
from hashlib import sha256

from hopper.domain.text import folded

_DIGITS = 32


def plain(name: str) -> str:
    """A name as it is compared: its words, however they are written."""
    return folded(name).strip()


@dataclass(frozen=True, slots=True)
class TargetNaming:
    """By default only a target's scope is told.

    With a `team_key` a target is called by a code that only those can make who have the key: two Hoppers with the same
    key and an instance of the same name mean the same, and the server can't tell what (HMAC-SHA256; RFC 2104). With
    `is_plain` it is called by its name.
    """

    team_key: str | None = None
    is_plain: bool = False

    def called(self, name: str) -> str | None:
        """What an instance of this name is called, if anything."""
        if self.is_plain:
            return plain(name) or None
        if self.team_key:
            return hmac.new(self.team_key.encode(), plain(name).encode(), sha256).hexdigest()[:_DIGITS]
        return None
