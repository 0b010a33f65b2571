"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by the time they were made."""

import re

TaskId = str
InstanceId = str
DelegationId = str
EpisodeId = str
PatternId = str

ID = re.compile(r"[A-Za-z0-9._-]{1,36}")
"""What an id looks like, as a whole."""

MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$"
"""What can name an embedding model: in the settings, in a path, and in the condition of its index."""


def new_id() -> str:
    """A new id of 36 characters."""
    from uuid_utils import uuid7

    return str(uuid7())


def slug(name: str) -> str:
    """A name as an id that people can read, 31 characters at most; nothing if none of its letters can be in one."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.casefold()).strip("-.")[:31].rstrip("-.")
