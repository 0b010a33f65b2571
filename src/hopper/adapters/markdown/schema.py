"""The index: a working copy of the files in SQLite, with the names of the server's tables and columns.

All of it can be made again from the files. Another version of it, or another start of the machine, makes it anew:
nothing is waited for until it is on the disk, so a loss of power may have damaged it.
"""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hopper.adapters.markdown.places import place_of
from hopper.domain.errors import Conflict

VERSION = 4

TOKENIZER = "porter unicode61 remove_diacritics 0"
"""Words are compared by their stems, letters with their marks."""

_TABLES = """
CREATE TABLE meta (boot TEXT NOT NULL);
CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    ino INTEGER NOT NULL, sha256 TEXT NOT NULL, seen_ns INTEGER NOT NULL, is_plain INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE broken (path TEXT PRIMARY KEY, folder TEXT NOT NULL, id TEXT NOT NULL, line INTEGER NOT NULL,
    problem TEXT NOT NULL, is_twin INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE hopper_instances (id TEXT PRIMARY KEY, path TEXT NOT NULL, name TEXT NOT NULL, scope TEXT NOT NULL,
    instance_type TEXT NOT NULL, status TEXT NOT NULL, parent_id TEXT, config TEXT NOT NULL, version INTEGER NOT NULL,
    created_at TEXT NOT NULL);
CREATE INDEX idx_instances_path ON hopper_instances (path);

CREATE TABLE tasks (id TEXT PRIMARY KEY, path TEXT NOT NULL, title TEXT NOT NULL, description TEXT,
    status TEXT NOT NULL, priority TEXT, project TEXT, instance_id TEXT, tags TEXT NOT NULL, source TEXT NOT NULL,
    source_instance_id TEXT, parent_task_id TEXT, duplicate_of TEXT, version INTEGER NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    urgency INTEGER GENERATED ALWAYS AS (CASE priority WHEN 'urgent' THEN 1 WHEN 'high' THEN 2 WHEN 'medium' THEN 3
        WHEN 'low' THEN 4 ELSE 5 END) STORED);
CREATE INDEX idx_tasks_path ON tasks (path);
CREATE INDEX idx_tasks_created ON tasks (created_at, id);
CREATE INDEX idx_tasks_status ON tasks (status, created_at, id);
CREATE INDEX idx_tasks_instance ON tasks (instance_id);
CREATE INDEX idx_tasks_parent ON tasks (parent_task_id);
CREATE INDEX idx_tasks_duplicate ON tasks (duplicate_of);
CREATE VIRTUAL TABLE task_search USING fts5(title, description, content='tasks', content_rowid='rowid',
    tokenize='TOKENIZER', prefix='2 3');
CREATE VIRTUAL TABLE task_words USING fts5vocab('task_search', 'row');
CREATE VIRTUAL TABLE task_instances USING fts5vocab('task_search', 'instance');
CREATE TRIGGER task_search_added AFTER INSERT ON tasks BEGIN
    INSERT INTO task_search (rowid, title, description) VALUES (new.rowid, new.title, new.description); END;
CREATE TRIGGER task_search_removed AFTER DELETE ON tasks BEGIN
    INSERT INTO task_search (task_search, rowid, title, description)
    VALUES ('delete', old.rowid, old.title, old.description); END;
CREATE TRIGGER task_search_changed AFTER UPDATE OF title, description ON tasks BEGIN
    INSERT INTO task_search (task_search, rowid, title, description)
    VALUES ('delete', old.rowid, old.title, old.description);
    INSERT INTO task_search (rowid, title, description) VALUES (new.rowid, new.title, new.description); END;
CREATE TABLE task_dependencies (task_id TEXT NOT NULL, depends_on_id TEXT NOT NULL,
    PRIMARY KEY (task_id, depends_on_id)) WITHOUT ROWID;
CREATE INDEX idx_dependencies_depends_on ON task_dependencies (depends_on_id);

CREATE TABLE task_delegations (id TEXT PRIMARY KEY, path TEXT NOT NULL, task_id TEXT NOT NULL, episode_id TEXT,
    source_instance_id TEXT, target_instance_id TEXT, delegation_type TEXT NOT NULL, status TEXT NOT NULL,
    delegated_at TEXT NOT NULL, completed_at TEXT, expired_leases INTEGER NOT NULL);
CREATE INDEX idx_delegations_path ON task_delegations (path);
CREATE INDEX idx_delegations_task ON task_delegations (task_id, delegated_at);
CREATE INDEX idx_delegations_target ON task_delegations (target_instance_id, delegated_at);

CREATE TABLE task_leases (task_id TEXT PRIMARY KEY, path TEXT NOT NULL, instance_id TEXT NOT NULL,
    token TEXT NOT NULL, worker TEXT, acquired_at TEXT NOT NULL, expires_at TEXT NOT NULL, returned_at TEXT,
    reason TEXT);
CREATE INDEX idx_leases_path ON task_leases (path);
CREATE INDEX idx_leases_token ON task_leases (token);

CREATE TABLE task_origins (id TEXT PRIMARY KEY, path TEXT NOT NULL, source TEXT NOT NULL, external_id TEXT NOT NULL,
    task_id TEXT NOT NULL, said TEXT NOT NULL, as_of TEXT) WITHOUT ROWID;
CREATE INDEX idx_origins_path ON task_origins (path);

CREATE TABLE routing_episodes (id TEXT PRIMARY KEY, path TEXT NOT NULL, task_id TEXT, chosen_instance TEXT,
    confidence REAL NOT NULL, raw_confidence REAL, strategy TEXT NOT NULL, decision_factors TEXT NOT NULL,
    alternatives TEXT NOT NULL, outcome_success INTEGER, outcome_instance TEXT, outcome_duration TEXT,
    source TEXT NOT NULL, source_instance_id TEXT, routed_at TEXT NOT NULL, completed_at TEXT, corrected_at TEXT,
    degraded INTEGER NOT NULL);
CREATE INDEX idx_episodes_path ON routing_episodes (path);
CREATE INDEX idx_episodes_task ON routing_episodes (task_id);
CREATE INDEX idx_episodes_completed ON routing_episodes (completed_at, id) WHERE completed_at IS NOT NULL;

CREATE TABLE routing_patterns (id TEXT PRIMARY KEY, path TEXT NOT NULL, name TEXT NOT NULL, description TEXT,
    pattern_type TEXT NOT NULL, target_instance TEXT NOT NULL, tag_criteria TEXT, text_criteria TEXT,
    priority_criteria TEXT, confidence REAL NOT NULL, usage_count INTEGER NOT NULL, success_count INTEGER NOT NULL,
    failure_count INTEGER NOT NULL, is_active INTEGER NOT NULL, source TEXT NOT NULL, source_instance_id TEXT,
    learned_key TEXT, switched_by_person INTEGER NOT NULL, version INTEGER NOT NULL, created_at TEXT NOT NULL,
    last_used_at TEXT, last_refined_at TEXT);
CREATE INDEX idx_patterns_path ON routing_patterns (path);
CREATE TABLE pattern_derivations (pattern_id TEXT NOT NULL, derived_from_id TEXT NOT NULL,
    PRIMARY KEY (pattern_id, derived_from_id)) WITHOUT ROWID;
CREATE TABLE rejected_rules (learned_key TEXT PRIMARY KEY, path TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE consolidations (id INTEGER PRIMARY KEY, consolidated_at TEXT NOT NULL);

CREATE TABLE task_feedback (task_id TEXT PRIMARY KEY, path TEXT NOT NULL, was_good_match INTEGER,
    routing_feedback TEXT, should_have_routed_to TEXT, quality_score REAL, complexity_rating INTEGER,
    required_rework INTEGER, source TEXT NOT NULL, source_instance_id TEXT, created_at TEXT NOT NULL);
CREATE INDEX idx_feedback_path ON task_feedback (path);

CREATE TABLE projection_queue (projection TEXT NOT NULL, entity_type TEXT NOT NULL, entity_id TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1, enqueued_at TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    not_before TEXT NOT NULL, last_error TEXT, PRIMARY KEY (projection, entity_type, entity_id)) WITHOUT ROWID;
CREATE TABLE embeddings (kind TEXT NOT NULL, id TEXT NOT NULL, model TEXT NOT NULL, embedding BLOB NOT NULL,
    content_hash TEXT NOT NULL, PRIMARY KEY (kind, id, model));
CREATE TABLE text_models (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, through TEXT NOT NULL,
    through_episode TEXT NOT NULL, outcomes INTEGER NOT NULL, awaited INTEGER NOT NULL, content BLOB NOT NULL);
CREATE TABLE idempotency_keys (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, entity_id TEXT NOT NULL,
    created_at TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that can't be understood, and where that shows; its path is below the instance's directory."""

    path: str
    line: int
    problem: str


def unread(directory: Path) -> tuple[Unread, ...]:
    """What the index says of files that can't be understood."""
    path = place_of(directory).index / "hopper.db"
    if not path.exists():
        return ()
    try:
        with closing(connect(path)) as connection:
            rows = connection.execute("SELECT path, line, problem FROM broken ORDER BY path").fetchall()
    except sqlite3.DatabaseError:  # who looks next makes it anew
        return ()
    return tuple(Unread(*row) for row in rows)


def mend_first(broken: sqlite3.Row) -> Conflict:
    """Why nothing can be done with a file that can't be understood; `broken` has its path, line and problem."""
    return Conflict(f"{broken['path']}:{broken['line']}: {broken['problem']}. Mend the file, and try again.")


def connect(path: Path) -> sqlite3.Connection:
    """Open the index, which may not be usable yet. Transactions are begun and ended by hand."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


def is_usable(connection: sqlite3.Connection) -> bool:
    """Whether the index is of this version and of this start of the machine."""
    try:
        connection.execute("PRAGMA synchronous = OFF")
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            return False
        row = connection.execute("SELECT boot FROM meta").fetchone()
    except sqlite3.DatabaseError:
        return False
    return row is not None and row["boot"] == _boot()


def is_damage(error: BaseException | None) -> bool:
    """Whether it says that the index itself is damaged. All of it can be made again."""
    damaged = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in damaged


def remove(path: Path) -> None:
    """Only for the holder of the store's lock."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def make(path: Path) -> None:
    """Make an empty index instead of what is there. Only for the holder of the store's lock."""
    remove(path)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # its other files get the same rights
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript("BEGIN; " + _TABLES.replace("TOKENIZER", TOKENIZER))
        connection.execute("INSERT INTO meta VALUES (?)", [_boot()])
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # another system than Linux
        return ""
