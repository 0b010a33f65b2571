"""What a local instance keeps of its syncing, outside of what people commit, and the server that it speaks to."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from hopper.domain.ids import InstanceId
from hopper.sync.pack import PatternPack
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


@dataclass(frozen=True, slots=True)
class Outbox:
    """The pushes that were begun and not acknowledged, in order; `settings` tell under which they were made."""

    bodies: tuple[bytes, ...] = ()
    settings: str = ""


class TeachingServer(Protocol):
    """The server that is taught, as the source that speaks to it. Its methods raise HopperError."""

    def source(self) -> tuple[InstanceId, int]:
        """Who that is there, and the number of the last push that was merged."""
        ...

    def merge(self, push: bytes) -> None:
        """Send a push; returns when it is merged."""
        ...

    def pack(self) -> PatternPack:
        """The patterns that enough sources share."""
        ...

    def forget(self, source: InstanceId) -> None:
        """Have everything removed that came from it."""
        ...


class TeachingState(Protocol):
    """Each part is replaced as a whole, and is on the disk when its method returns."""

    def teacher(self) -> Teacher | None:
        """None while the person hasn't opted in; off if that was written in another directory, and copied here."""
        ...

    def keep_teacher(self, teacher: Teacher) -> None: ...

    def ledger(self) -> Ledger: ...

    def keep_ledger(self, ledger: Ledger) -> None: ...

    def outbox(self) -> Outbox: ...

    def keep_outbox(self, outbox: Outbox) -> None: ...

    def pack(self) -> dict[str, Any] | None:
        """The patterns that were pulled last, as the server told them."""
        ...

    def keep_pack(self, pack: dict[str, Any], pulled_at: datetime) -> None: ...

    def pulled_at(self) -> datetime | None: ...

    def private(self) -> frozenset[str]:
        """Names and words that never leave: the person's, the machine's, the project's, and those of the config."""
        ...

    def forget(self) -> None:
        """Keep nothing of all this."""
        ...
