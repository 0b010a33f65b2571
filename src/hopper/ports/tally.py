"""What is counted of what happens, since the process began."""

from collections import Counter
from enum import StrEnum
from typing import TypeAlias


class Counted(StrEnum):
    """Of which kind, it says beside."""

    DECISION = "decision"  # of a strategy
    OUTCOME = "outcome"  # of a decision of Hopper's own: right or wrong
    CLAIM = "claim"
    EXPIRED_LEASE = "expired_lease"


Tally: TypeAlias = Counter[tuple[Counted, str]]
"""How often each has happened. Only what was committed counts."""

RIGHT, WRONG = "right", "wrong"
