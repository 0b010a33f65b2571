"""The type of vectors, which comes with the extension pgvector.

Without it the tables are there all the same, with plain numbers in the vectors' column: so every statement that doesn't
compare vectors holds either way. A database gets the type when it is first to have vectors, and keeps it.
"""

TABLES = ("task_embeddings", "pattern_embeddings", "episode_embeddings")
COLUMN = "embedding"

STATEMENTS = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    *(f"ALTER TABLE {table} ALTER COLUMN {COLUMN} TYPE vector USING {COLUMN}::vector" for table in TABLES),
)
"""What gives the columns the type; no view may hold on to them."""

IS_THERE = f"""SELECT count(*) = {len(TABLES)} FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid IN ({", ".join(f"to_regclass('{table}')" for table in TABLES)})
        AND a.attname = '{COLUMN}' AND t.typname = 'vector'"""
"""Whether all of them have it."""
