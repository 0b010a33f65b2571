"""How sure a decision must be. A module of its own: what decides needs numpy, and who only files a task doesn't."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """`abstain_below` is the confidence (0 to 1) that a decision needs."""

    abstain_below: float = 0.5
