"""What is said to Neo4j to read and write entities: one statement for each label and type, made of literals.

What was found or made once is named by Neo4j's own numbers of nodes and edges afterwards, which is several times as
fast as finding it in an index again. A number means the same until its node or edge is deleted: within a turn, and
while the graph is filled.
"""

from dataclasses import dataclass

from neo4j import Record

from hopper.adapters.neo4j.values import INCOMING, INSTANTS, KEY, edge_of, node_of, owner
from hopper.domain.graph import Edge, EdgeType, Label
from hopper.ports.graph import Unit

UNIT_LABELS = (Label.INSTANCE, Label.TASK, Label.PATTERN)


@dataclass(frozen=True, slots=True)
class Held:
    """What the graph holds of an entity, with Neo4j's numbers of its node and its edges."""

    number: int
    unit: Unit
    edges: tuple[tuple[int, Edge], ...]


def held_of(label: Label, record: Record) -> Held:
    """An entity that HELD or PAGE found, its edges in the order of their keys."""
    number, properties, own = record
    node = node_of(label, properties)
    edges = []
    for name, other, properties, of_edge in own:
        source, target = (other, node.id) if name in INCOMING else (node.id, other)
        edges.append((of_edge, edge_of(name, source, target, properties)))
    edges.sort(key=lambda pair: pair[1].key)
    return Held(number, Unit(node, tuple(edge for _, edge in edges)), tuple(edges))


def _entity(label: Label) -> str:
    """The number of a node `n`, its properties, and the edges of its own.

    Each edge is [type, id of the other end, properties, number].
    """
    own = [edge_type for edge_type in EdgeType if owner(edge_type) == label]
    arrows = ("(n)-[e:{}]->(o)", "(n)<-[e:{}]-(o)")
    edges = " + ".join(
        f"[{arrow.format('|'.join(types))} | [type(e), coalesce(o.id, o.name), properties(e), id(e)]]"
        for incoming, arrow in enumerate(arrows)
        if (types := [edge_type for edge_type in own if (edge_type in INCOMING) == bool(incoming)])
    )
    return f"id(n), properties(n), {edges}"


HELD = {
    label: f"""
        UNWIND $ids AS id
        MATCH (n:{label} {{id: id}})
        RETURN {_entity(label)}
    """
    for label in UNIT_LABELS
}

PAGE = {
    label: f"""
        MATCH (n:{label})
        WHERE n.id > $after AND n.id <= $upto
        WITH n ORDER BY n.id
        RETURN {_entity(label)}
    """
    for label in UNIT_LABELS
}

ADD_NODES = {
    label: f"""
        UNWIND $rows AS row
        CREATE (n:{label})
        SET n = row
        RETURN collect(n.{key}), collect(id(n))
    """
    for label, key in KEY.items()
}
"""From rows of all properties."""

FIND_NODES = {
    label: f"""
        UNWIND $ids AS id
        MERGE (n:{label} {{{key}: id}}) {"ON CREATE SET n.tasks = 0" if label is Label.TAG else ""}
        RETURN collect(id), collect(id(n))
    """
    for label, key in KEY.items()
}
"""One that isn't there yet is only an id until its own turn."""

SET_NODES = "UNWIND $rows AS row MATCH (n) WHERE id(n) = row[0] SET n = row[1]"

DELETE_NODES = "UNWIND $numbers AS number MATCH (n) WHERE id(n) = number DETACH DELETE n"


def _set_edge(edge_type: EdgeType) -> str:
    """What a new edge holds, from row[2] as `values.sent` makes it."""
    instants = (f"e.{name} = datetime(row[2].{name})" for name in INSTANTS.get(edge_type, ()))
    return "SET " + ", ".join(("e = row[2]", *instants))


ADD_EDGES = {
    edge_type: f"""
        UNWIND $rows AS row
        MATCH (s) WHERE id(s) = row[0]
        MATCH (t) WHERE id(t) = row[1]
        CREATE (s)-[e:{edge_type}]->(t)
        {_set_edge(edge_type)}
    """
    for edge_type in EdgeType
}
"""From rows of two nodes' numbers and properties."""

SET_EDGES = "UNWIND $rows AS row MATCH ()-[e]->() WHERE id(e) = row[0] SET e = row[1]"

DELETE_EDGES = "UNWIND $numbers AS number MATCH ()-[e]->() WHERE id(e) = number DELETE e"

SET_TAGS = """
    UNWIND $rows AS row
    MATCH (t) WHERE id(t) = row[0]
    SET t.tasks = t.tasks + row[1], t:Unweighed
"""
"""The weights of its pairs follow later."""

SET_PAIRS = """
    UNWIND $rows AS row
    MATCH (a) WHERE id(a) = row[0]
    MATCH (b) WHERE id(b) = row[1]
    MERGE (a)-[c:CO_OCCURS_WITH]->(b)
    ON CREATE SET c.count = row[2]
    ON MATCH SET c.count = c.count + row[2]
"""

UNPAIR = """
    UNWIND $rows AS row
    MATCH (a) WHERE id(a) = row[0]
    MATCH (b) WHERE id(b) = row[1]
    MATCH (a)-[c:CO_OCCURS_WITH]->(b)
    WHERE c.count = 0
    DELETE c
"""

UNWEIGHED = "MATCH (t:Tag:Unweighed) RETURN 1 LIMIT 1"

SET_WEIGHTS = """
    MATCH (a:Tag:Unweighed)
    WITH a LIMIT $limit
    REMOVE a:Unweighed
    WITH a
    OPTIONAL MATCH (a)-[c:CO_OCCURS_WITH]-(b:Tag)
    WITH a, c, toFloat(c.count) / (a.tasks + b.tasks - c.count) AS weight
    FOREACH (changed IN CASE WHEN c.weight = weight THEN [] ELSE [c] END | SET changed.weight = weight)
    RETURN count(DISTINCT a)
"""

DELETE_UNUSED_TAGS = """
    UNWIND $names AS name
    MATCH (t:Tag {name: name})
    WHERE NOT EXISTS { (t)<-[:HAS_TAG|MATCHES_TAG]-() }
    DELETE t
"""

LOCK = "MATCH (m:HopperProjection {id: 'graph'}) SET m.locked = true RETURN m.database"

META = "MATCH (m:HopperProjection {id: 'graph'}) RETURN m.database, m.position"

LEAVE_POSITION = """
    MATCH (m:HopperProjection {id: 'graph'})
    WHERE m.position IS NULL OR m.position < $position
    SET m.position = $position
"""

ANYTHING = "MATCH (n) RETURN 1 LIMIT 1"

_UNIQUE = {str(label): key for label, key in KEY.items()} | {"HopperProjection": "id"}

CONSTRAINTS = tuple(
    f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{label}) REQUIRE n.{key} IS UNIQUE" for label, key in _UNIQUE.items()
)

ORPHANED = f"""
    SHOW INDEXES YIELD name, labelsOrTypes, properties, owningConstraint
    WHERE owningConstraint IS NULL AND labelsOrTypes + properties IN {[list(pair) for pair in _UNIQUE.items()]}
    RETURN name
"""
"""Indexes in a constraint's place that belong to none: a Neo4j that was killed while it made one refuses to go on."""

MARK = "MERGE (m:HopperProjection {id: 'graph'}) ON CREATE SET m.database = $database"

BEGIN_FILLING = """
    MATCH (m:HopperProjection {id: 'graph'}) SET m.locked = true WITH m
    WHERE m.filling IS NULL OR m.filling <= $number
    SET m.filling = $number REMOVE m.position RETURN m.filling
"""

STILL_FILLING = """
    MATCH (m:HopperProjection {id: 'graph'}) SET m.locked = true WITH m
    WHERE m.filling = $number RETURN m.filling
"""

DELETE_SOME = {label: f"MATCH (n:{label}) WITH n LIMIT $limit DETACH DELETE n RETURN count(*)" for label in KEY}

COUNT_TASKS = "MATCH (t:Tag) SET t.tasks = COUNT { (t)<-[:HAS_TAG]-() }"

# Neo4j 5.26 orders stored strings by code points, but a stored one and a parameter (for which it takes `a.name` here)
# by something else. `properties` reads what is stored.
COUNT_PAIRS = """
    UNWIND $names AS name
    MATCH (a:Tag {name: name})<-[:HAS_TAG]-()-[:HAS_TAG]->(b:Tag)
    WHERE properties(a).name < properties(b).name
    WITH a, b, count(*) AS both
    CREATE (a)-[c:CO_OCCURS_WITH]->(b)
    SET c.count = both, c.weight = toFloat(both) / (a.tasks + b.tasks - both)
"""

TAG_NODES = "MATCH (t:Tag) RETURN properties(t)"

TAG_PAIRS = """
    MATCH (a:Tag)-[c:CO_OCCURS_WITH]->(b:Tag)
    RETURN type(c), a.name, b.name, CASE WHEN a:Unweighed OR b:Unweighed
        THEN {count: c.count, weight: toFloat(c.count) / (a.tasks + b.tasks - c.count)} ELSE properties(c) END
"""
