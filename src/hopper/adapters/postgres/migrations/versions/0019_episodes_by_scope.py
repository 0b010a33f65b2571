"""Episodes and their embeddings are partitioned by the scope of the instance that they are about.

In phases (see `phases.py`): the version before goes on with the plain tables, whose triggers keep the new ones equal.
"""

from alembic import op

from hopper.adapters.postgres.phases import Copy, Phased, execute

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SCOPES = ("GLOBAL", "PROJECT", "ORCHESTRATION", "NONE")

EPISODE = (
    "id, task_id, chosen_instance, confidence, raw_confidence, strategy, decision_factors, alternatives, "
    "outcome_success, outcome_instance, outcome_duration, source, source_instance_id, summary_key, routed_at, "
    "completed_at, corrected_at, degraded, chosen_instance_scope, tags"
)
EMBEDDING = "episode_id, model, embedding, content_hash, created_at, is_known"

INDEXES = """
CREATE INDEX idx_episodes_task ON {episodes} (task_id);
CREATE INDEX idx_episodes_outcome ON {episodes} (outcome_success);
CREATE INDEX idx_episodes_known ON {episodes} (completed_at, id) WHERE outcome_instance IS NOT NULL;
CREATE INDEX idx_episodes_completed ON {episodes} (completed_at, id) WHERE completed_at IS NOT NULL;
CREATE INDEX idx_episodes_northbound ON {episodes} (source_instance_id) WHERE source = 'northbound';
CREATE INDEX idx_episodes_news ON {episodes} (GREATEST(completed_at, corrected_at), id)
    WHERE completed_at IS NOT NULL OR corrected_at IS NOT NULL;
"""


def prefixed(columns: str, row: str) -> str:
    """The columns of a row that has a name."""
    return ", ".join(f"{row}.{column}" for column in columns.split(", "))


def partitions(table: str) -> str:
    return "".join(
        f"CREATE TABLE change_0019.{table}_{scope.lower()} PARTITION OF change_0019.{table} FOR VALUES IN ('{scope}');\n"
        for scope in SCOPES
    )


SCOPE_OF = "change_0019.scope_of({row}.outcome_instance, {row}.chosen_instance, {row}.chosen_instance_scope)"

TABLES = f"""
CREATE TABLE change_0019.routing_episodes (
    id varchar(36) NOT NULL,
    task_id varchar(36),
    chosen_instance varchar(36),
    confidence float,
    raw_confidence float,
    strategy varchar(50),
    decision_factors jsonb,
    alternatives jsonb,
    outcome_success boolean,
    outcome_instance varchar(36),
    outcome_duration varchar(50),
    source varchar(50),
    source_instance_id varchar(36),
    summary_key varchar(128),
    routed_at timestamptz DEFAULT now() NOT NULL,
    completed_at timestamptz,
    corrected_at timestamptz,
    degraded boolean DEFAULT false NOT NULL,
    chosen_instance_scope varchar(50),
    tags jsonb,
    scope varchar(50) DEFAULT 'NONE' NOT NULL,
    CONSTRAINT routing_episodes_pkey PRIMARY KEY (id, scope),
    CONSTRAINT routing_episodes_summary_key_key UNIQUE (summary_key, scope)
) PARTITION BY LIST (scope);
CREATE TABLE change_0019.episode_embeddings (
    episode_id varchar(36) NOT NULL,
    model varchar(100) NOT NULL,
    embedding real[] NOT NULL,
    content_hash varchar(64) NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    is_known boolean DEFAULT false NOT NULL,
    scope varchar(50) DEFAULT 'NONE' NOT NULL,
    CONSTRAINT episode_embeddings_pkey PRIMARY KEY (episode_id, model, scope),
    CONSTRAINT episode_embeddings_episode_id_fkey FOREIGN KEY (episode_id, scope)
        REFERENCES change_0019.routing_episodes (id, scope) ON UPDATE CASCADE ON DELETE CASCADE
) PARTITION BY LIST (scope);
-- Vectors are of the type that they have: plain numbers in a database without pgvector.
DO $$ BEGIN
    EXECUTE 'ALTER TABLE change_0019.episode_embeddings ALTER COLUMN embedding TYPE ' || (
        SELECT atttypid::regtype || ' USING embedding::' || atttypid::regtype FROM pg_attribute
        WHERE attrelid = 'episode_embeddings'::regclass AND attname = 'embedding');
END $$;
{partitions("routing_episodes")}{partitions("episode_embeddings")}
{INDEXES.format(episodes="change_0019.routing_episodes")}
CREATE FUNCTION change_0019.scope_of(outcome text, chosen text, said text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT scope FROM (VALUES (1, (SELECT i.scope FROM hopper_instances i WHERE i.id = coalesce(outcome, chosen))),
        (2, said), (3, 'NONE')) AS known (rank, scope)
    WHERE scope IN {SCOPES} ORDER BY rank LIMIT 1
$$;
"""

EPISODE_FOLLOWS = f"""
CREATE FUNCTION change_0019.episode_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO change_0019.routing_episodes ({EPISODE}, scope)
        VALUES ({prefixed(EPISODE, "NEW")}, {SCOPE_OF.format(row="NEW")});
    ELSIF TG_OP = 'UPDATE' THEN  -- one that wasn't copied yet will be, as it is then
        UPDATE change_0019.routing_episodes SET ({EPISODE}, scope)
            = ({prefixed(EPISODE, "NEW")}, {SCOPE_OF.format(row="NEW")}) WHERE id = OLD.id;
    ELSE
        DELETE FROM change_0019.routing_episodes WHERE id = OLD.id;
    END IF;
    RETURN NULL;
END $$;
"""

# An embedding may come before its episode was copied.
EMBEDDING_FOLLOWS = f"""
CREATE FUNCTION change_0019.embedding_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO change_0019.routing_episodes ({EPISODE}, scope)
        SELECT {prefixed(EPISODE, "e")}, {SCOPE_OF.format(row="e")} FROM routing_episodes e
        WHERE e.id = NEW.episode_id AND NOT EXISTS (SELECT FROM change_0019.routing_episodes c WHERE c.id = e.id)
        ON CONFLICT DO NOTHING;
        INSERT INTO change_0019.episode_embeddings ({EMBEDDING}, scope)
        SELECT {prefixed(EMBEDDING, "NEW")}, c.scope FROM change_0019.routing_episodes c WHERE c.id = NEW.episode_id;
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE change_0019.episode_embeddings SET ({EMBEDDING}) = ({prefixed(EMBEDDING, "NEW")})
        WHERE episode_id = OLD.episode_id AND model = OLD.model;
    ELSE
        DELETE FROM change_0019.episode_embeddings WHERE episode_id = OLD.episode_id AND model = OLD.model;
    END IF;
    RETURN NULL;
END $$;
"""

SCOPE_IS_REMEMBERED = """
CREATE FUNCTION change_0019.scope_is_remembered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT NEW.former_scopes ? OLD.scope THEN
        NEW.former_scopes := NEW.former_scopes || to_jsonb(OLD.scope);
    END IF;
    RETURN NEW;
END $$;
"""

# Nobody would keep the scopes of the old tables right: the version before doesn't know of them.
SCOPE_IS_UNKNOWN = """
CREATE FUNCTION change_0019.scope_is_unknown() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.scope := NULL;
    RETURN NEW;
END $$;
"""

# What others use is touched last, and for no longer than it takes.
FOLLOWING = """
ALTER TABLE change_0019.routing_episodes ADD CONSTRAINT routing_episodes_task_id_fkey
    FOREIGN KEY (task_id) REFERENCES tasks (id) ON DELETE CASCADE;
ALTER TABLE hopper_instances ADD COLUMN IF NOT EXISTS former_scopes jsonb DEFAULT '[]' NOT NULL;
ALTER TABLE routing_episodes ADD COLUMN IF NOT EXISTS scope varchar(50);
ALTER TABLE episode_embeddings ADD COLUMN IF NOT EXISTS scope varchar(50);
CREATE TRIGGER scope_is_remembered BEFORE UPDATE OF scope ON hopper_instances
    FOR EACH ROW WHEN (OLD.scope <> NEW.scope) EXECUTE FUNCTION change_0019.scope_is_remembered();
CREATE TRIGGER scope_is_unknown BEFORE INSERT OR UPDATE OF scope ON routing_episodes
    FOR EACH ROW EXECUTE FUNCTION change_0019.scope_is_unknown();
CREATE TRIGGER scope_is_unknown BEFORE INSERT OR UPDATE OF scope ON episode_embeddings
    FOR EACH ROW EXECUTE FUNCTION change_0019.scope_is_unknown();
CREATE TRIGGER episode_follows AFTER INSERT OR UPDATE OR DELETE ON routing_episodes
    FOR EACH ROW EXECUTE FUNCTION change_0019.episode_follows();
CREATE TRIGGER embedding_follows AFTER INSERT OR UPDATE OR DELETE ON episode_embeddings
    FOR EACH ROW EXECUTE FUNCTION change_0019.embedding_follows();
"""

EPISODES = Copy(
    "decisions",
    total="SELECT count(*) FROM routing_episodes",
    batch=f"""WITH page AS (
            SELECT {EPISODE} FROM routing_episodes WHERE id > $1 ORDER BY id LIMIT $2 FOR SHARE
        ), copied AS (
            INSERT INTO change_0019.routing_episodes ({EPISODE}, scope)
            SELECT {EPISODE}, {SCOPE_OF.format(row="page")} FROM page
            WHERE NOT EXISTS (SELECT FROM change_0019.routing_episodes c WHERE c.id = page.id)
            ON CONFLICT DO NOTHING
        )
        SELECT max(id) AS last, count(*) AS copied FROM page""",
    differences=f"""SELECT count(*) FROM routing_episodes o FULL JOIN change_0019.routing_episodes n USING (id)
        WHERE ({prefixed(EPISODE, "o")}) IS DISTINCT FROM ({prefixed(EPISODE, "n")})""",
)

# The episodes are kept from moving while the copies of their embeddings are put beside them.
EMBEDDINGS = Copy(
    "their embeddings",
    total="SELECT count(*) FROM episode_embeddings",
    batch=f"""WITH next AS (
            SELECT max(episode_id) AS last FROM (
                SELECT episode_id FROM episode_embeddings WHERE episode_id > $1 ORDER BY episode_id LIMIT $2) AS ids
        ), page AS (
            SELECT {prefixed(EMBEDDING, "v")} FROM episode_embeddings v JOIN routing_episodes e ON e.id = v.episode_id
            WHERE v.episode_id > $1 AND v.episode_id <= (SELECT last FROM next) ORDER BY v.episode_id FOR SHARE
        ), copied AS (
            INSERT INTO change_0019.episode_embeddings ({EMBEDDING}, scope)
            SELECT {prefixed(EMBEDDING, "page")}, c.scope
            FROM page JOIN change_0019.routing_episodes c ON c.id = page.episode_id
            ON CONFLICT DO NOTHING
        )
        SELECT max(episode_id) AS last, count(*) AS copied FROM page""",
    differences=f"""SELECT count(*) FROM episode_embeddings o FULL JOIN change_0019.episode_embeddings n
            USING (episode_id, model)
        WHERE ({prefixed(EMBEDDING, "o")}) IS DISTINCT FROM ({prefixed(EMBEDDING, "n")})""",
)

MOVED = [
    f"{table}{part}"
    for table in ("routing_episodes", "episode_embeddings")
    for part in ("", *(f"_{scope.lower()}" for scope in SCOPES))
]

SWAP = (
    """DROP TRIGGER scope_is_remembered ON hopper_instances;
DROP TABLE episode_embeddings;
DROP TABLE routing_episodes;
DO $$ BEGIN
"""
    + "".join(
        f"EXECUTE format('ALTER TABLE change_0019.{table} SET SCHEMA %I', current_schema());\n" for table in MOVED
    )
    + "END $$;\n"
)

change = Phased(
    revision=revision,
    expand=TABLES + EPISODE_FOLLOWS + EMBEDDING_FOLLOWS + SCOPE_IS_REMEMBERED + SCOPE_IS_UNKNOWN + FOLLOWING,
    copies=(EPISODES, EMBEDDINGS),
    locked="tasks, routing_episodes, episode_embeddings, hopper_instances",
    contract=SWAP,
    vectors="episode_embeddings",
)


def upgrade() -> None:
    change.at_once(op.get_bind())


def downgrade() -> None:
    execute(
        op.get_bind(),
        f"""CREATE TABLE plain_episodes (LIKE routing_episodes INCLUDING DEFAULTS);
        INSERT INTO plain_episodes SELECT * FROM routing_episodes;
        CREATE TABLE plain_embeddings (LIKE episode_embeddings INCLUDING DEFAULTS);
        INSERT INTO plain_embeddings SELECT * FROM episode_embeddings;
        DROP TABLE episode_embeddings;
        DROP TABLE routing_episodes;
        ALTER TABLE plain_episodes DROP COLUMN scope;
        ALTER TABLE plain_episodes RENAME TO routing_episodes;
        ALTER TABLE routing_episodes ADD CONSTRAINT routing_episodes_pkey PRIMARY KEY (id),
            ADD CONSTRAINT routing_episodes_summary_key_key UNIQUE (summary_key),
            ADD CONSTRAINT routing_episodes_task_id_fkey FOREIGN KEY (task_id) REFERENCES tasks (id) ON DELETE CASCADE;
        {INDEXES.format(episodes="routing_episodes")}
        ALTER TABLE plain_embeddings DROP COLUMN scope;
        ALTER TABLE plain_embeddings RENAME TO episode_embeddings;
        ALTER TABLE episode_embeddings ADD CONSTRAINT episode_embeddings_pkey PRIMARY KEY (episode_id, model),
            ADD CONSTRAINT episode_embeddings_episode_id_fkey
                FOREIGN KEY (episode_id) REFERENCES routing_episodes (id) ON DELETE CASCADE;
        ALTER TABLE hopper_instances DROP COLUMN former_scopes""",
    )
