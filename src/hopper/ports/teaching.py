"""What a local instance keeps of its syncing, outside of what people commit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from hopper.domain.ids import InstanceId
from hopper.sync.targets import TargetNaming
from hopper.sync.teaching import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """As whom this instance speaks to which server, with a secret `token`; while off it neither sends nor fetches."""

    server: str
    source_instance_id: InstanceId
    token: str = field(repr=False)
    naming: TargetNaming = field(default=TargetNaming(), repr=False)
    is_on: bool = True
    pushed_at: datetime | None = None
    pulled_at: datetime | None = None


class TeachingState(Protocol):
    """Each part is replaced as a whole, and is on the disk when its method returns."""

    def teacher(self) -> Teacher | None:
        """None while the person hasn't opted in."""
        ...

    def keep_teacher(self, teacher: Teacher) -> None: ...

    def ledger(self) -> Ledger: ...

    def keep_ledger(self, ledger: Ledger) -> None: ...

    def outbox(self) -> tuple[bytes, ...]:
        """The pushes that were begun and not acknowledged, in order."""
        ...

    def keep_outbox(self, bodies: Sequence[bytes]) -> None: ...

    def pack(self) -> dict[str, Any] | None:
        """The patterns that were pulled last, as the server told them."""
        ...

    def keep_pack(self, pack: dict[str, Any]) -> None: ...

    def private(self) -> frozenset[str]:
        """Names and words that never leave: the person's, the machine's, the project's, and those of the config."""
        ...

    def forget(self) -> None:
        """Keep nothing of all this."""
        ...
