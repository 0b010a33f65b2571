"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by the time they were made."""

from uuid_utils import uuid7

TaskId = str
InstanceId = str
DelegationId = str
EpisodeId = str
PatternId = str


def new_id() -> str:
    """A new id of 36 characters."""
    return str(uuid7())
