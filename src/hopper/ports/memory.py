"""What a process knows by itself: what it has read of what was learned, and how far its work has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hopper.ports.kept_answers import KeptAnswers

if TYPE_CHECKING:
    import asyncio

    from hopper.domain.access import Key, Secret
    from hopper.domain.graph import Standing
    from hopper.domain.ids import InstanceId
    from hopper.domain.pattern import Pattern, TargetLabel
    from hopper.routing.text_model import TextModel


@dataclass(slots=True)
class Progress:
    """How far a long piece of work has come."""

    total: int
    done: int = 0


class Memory:
    """The text model that this process decides with, and the stored version that it has read.

    `text_model` is None while none has been learned, or when the stored one can't be used: another release of Hopper
    may have stored it. `is_readable` says which. `graph_rebuild` is how far this process has come with building the
    graph anew, while it does. `graph_applied` is the number that the graph had when it was last seen to have
    everything, None when it hadn't. `standings` says how instances do, as of some seconds ago; `shared` are the
    patterns that other Hoppers share, and `labels` what those may call the instances, as of half a minute ago.
    `unheeded` says why nothing of what was pulled is heeded, where it can't be read. `keys` are those that were used
    last, each with what its token is checked against and until when that is believed (monotonic seconds), and `budgets`
    how much each may still ask for, as of when. `strangers` take turns: those whose tokens nobody remembers.
    """

    def __init__(self) -> None:
        self.version = 0
        self.text_model: TextModel | None = None
        self.is_readable = True
        self.graph_rebuild: Progress | None = None
        self.graph_applied: int | None = None
        self.graph_answers = KeptAnswers()
        self.standings: Mapping[InstanceId, Standing] = {}
        self.shared: tuple[Pattern, ...] = ()
        self.labels: Mapping[InstanceId, TargetLabel] = {}
        self.unheeded: str | None = None
        self.keys: dict[str, tuple[Key, Secret, float]] = {}
        self.budgets: dict[str, tuple[float, float]] = {}

    @cached_property
    def strangers(self) -> asyncio.Semaphore:
        """Lets two of them ask at once. A local instance has none, and needn't load what this needs."""
        import asyncio

        return asyncio.Semaphore(2)
