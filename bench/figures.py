"""What a measurement hands back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`goal` is the bound that `value` should keep (None: told for comparison), at least or, if not, at most."""

    name: str
    value: float
    unit: str = ""
    goal: float | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal
