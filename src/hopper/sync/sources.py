"""Who may sync: sources, and what they are told."""

from dataclasses import dataclass
from datetime import datetime

from hopper.domain.ids import InstanceId


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSource:
    """A Hopper that may sync. `contribution_cap` is how many cases of a pattern it counts for, at most.

    A muted one is heard, but counts for nothing; a revoked one isn't heard. `sequence` is that of its last push.
    """

    source_instance_id: InstanceId
    name: str
    contribution_cap: int
    is_muted: bool = False
    is_revoked: bool = False
    sequence: int = 0
    created_at: datetime
    last_synced_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord(SyncSource):
    """A source and how much came from it."""

    patterns: int
    episodes: int
    total_feedback: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource(SyncSource):
    """A source with its token, which is told this once."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReceipt:
    """What became of a push. `patterns_merged` counts all of its patterns; the others count each one once."""

    status: str = "synced"
    patterns_merged: int
    patterns_new: int
    patterns_changed: int
    patterns_unchanged: int
    episodes_new: int
    episodes_unchanged: int
    feedback_changed: bool
