"""What a backup says of itself, and what can be wrong with one."""

from collections.abc import Mapping
from dataclasses import dataclass

from hopper.domain.errors import HopperError


class BadBackup(HopperError):
    """The file is no backup, isn't whole, or is of a version that this one can't restore."""

    slug = "bad-backup"


class BackupFailed(HopperError):
    """A backup couldn't be made or restored, and nothing was changed."""

    slug = "backup-failed"


@dataclass(frozen=True, slots=True)
class TableSum:
    """How many rows a table has, and a sum over their contents in which their order doesn't count."""

    rows: int
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Where a backup comes from, and what has to be there once it is restored.

    `schema` is the revision of the database, `tables` what the dump holds, `left_out` the tables whose rows it doesn't
    hold because they are made anew.
    """

    hopper: str
    schema: str
    postgres: str
    made_at: str
    tables: Mapping[str, TableSum]
    left_out: tuple[str, ...]
    dump_bytes: int
    dump_sha256: str

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())
