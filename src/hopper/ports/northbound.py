"""What came from other Hoppers, and who they are."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from hopper.domain.access import Secret
from hopper.domain.ids import InstanceId
from hopper.domain.pattern import TargetLabel
from hopper.sync.merge import Contributed, Contribution
from hopper.sync.pack import SharedPattern
from hopper.sync.payload import EpisodeSummary, FeedbackStats
from hopper.sync.sources import SourceRecord, SyncSource


class SyncRepository(Protocol):
    async def take_turn(self) -> None:
        """Let no one else merge, mute, cap or forget until this unit of work ends."""
        ...

    async def add(self, source: SyncSource) -> None: ...

    async def find(self, source_instance_id: InstanceId) -> SyncSource | None: ...

    async def update(self, source: SyncSource) -> None: ...

    async def forget(self, source_instance_id: InstanceId) -> None:
        """Remove the source and everything that came only from it. Raises NotFound."""
        ...

    async def sources(self) -> tuple[SourceRecord, ...]:
        """All of them, the oldest first."""
        ...

    async def put_key(self, source_instance_id: InstanceId, name: str, key: Secret) -> None:
        """The source has this key from now on, and no other."""
        ...

    async def revoke_keys(self, source_instance_id: InstanceId) -> None: ...

    async def key(self, key_id: str) -> tuple[Secret, SyncSource] | None:
        """A key, revoked or not, and whose it is."""
        ...

    async def contributions(self, source_instance_id: InstanceId, keys: Sequence[str]) -> Mapping[str, Contribution]:
        """What the source has said so far, by the keys of the patterns."""
        ...

    async def contribute(self, source_instance_id: InstanceId, given: Sequence[Contributed]) -> None:
        """Store what the source says, in patterns that are made where they are missing."""
        ...

    async def keys_of(self, source_instance_id: InstanceId) -> tuple[str, ...]:
        """The keys of the patterns that the source contributes to."""
        ...

    async def total(self, keys: Sequence[str]) -> None:
        """Bring the patterns with these keys to the sum of what is said of them; those of which nothing is said go.

        Counts are cut to each source's cap, the confidence is the median of each one's after its record. Sources that
        are muted are left out, and those that have no cases of the pattern, or a cap of none.
        """
        ...

    async def summarise(self, source_instance_id: InstanceId, episodes: Mapping[str, EpisodeSummary]) -> int:
        """Store those summaries that aren't there yet by their keys; returns how many."""
        ...

    async def feedback(self, source_instance_id: InstanceId) -> tuple[int, FeedbackStats] | None:
        """The source's feedback statistics, and the sequence that they came with."""
        ...

    async def put_feedback(self, source_instance_id: InstanceId, sequence: int, stats: FeedbackStats) -> None: ...

    async def total_feedback(self) -> None:
        """Bring the global statistics to those of all sources, weighted by their feedback."""
        ...

    async def log(self, source_instance_id: InstanceId, items: Mapping[str, int]) -> None:
        """Note how many items of each type were merged."""
        ...

    async def identity(self) -> InstanceId:
        """Whom a pattern comes from that this server hands out."""
        ...

    async def labels(self) -> Mapping[InstanceId, TargetLabel]:
        """What sources may call this server's instances: names as those call them who choose to tell them."""
        ...

    async def shared(self, min_sources: int, limit: int) -> tuple[SharedPattern, ...]:
        """The active patterns that so many sources count for, the best supported first."""
        ...

    async def global_feedback(self, min_sources: int) -> FeedbackStats | None:
        """The global statistics, if so many sources contribute to them."""
        ...
