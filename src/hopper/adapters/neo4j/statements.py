"""What is said to Neo4j to read and write entities: one statement for each label and type, made of literals."""

from neo4j import Record

from hopper.adapters.neo4j.values import INCOMING, INSTANTS, KEY, edge_of, node_of, owner
from hopper.domain.graph import ENDS, EdgeType, Label
from hopper.ports.graph import Unit

UNIT_LABELS = (Label.INSTANCE, Label.TASK, Label.PATTERN)


def _own_edges(label: Label) -> str:
    """The edges of a node `n`'s own, each as [type, id of the other end, properties, element id]."""
    own = [edge_type for edge_type in EdgeType if owner(edge_type) == label]
    arrows = ("(n)-[e:{}]->(o)", "(n)<-[e:{}]-(o)")
    return " + ".join(
        f"[{arrow.format('|'.join(types))} | [type(e), coalesce(o.id, o.name), properties(e), elementId(e)]]"
        for incoming, arrow in enumerate(arrows)
        if (types := [edge_type for edge_type in own if (edge_type in INCOMING) == bool(incoming)])
    )


def unit_of(label: Label, record: Record) -> tuple[Unit, tuple[str, ...]]:
    """An entity that HELD or PAGE found, its edges in the order of their keys, and the element ids of these."""
    node = node_of(label, record[0])
    found = []
    for name, other, properties, element_id in record[1]:
        source, target = (other, node.id) if name in INCOMING else (node.id, other)
        found.append((edge_of(name, source, target, properties), element_id))
    found.sort(key=lambda pair: pair[0].key)
    return Unit(node, tuple(edge for edge, _ in found)), tuple(element_id for _, element_id in found)


def _set_edge(edge_type: EdgeType) -> str:
    """What a new edge holds, from row[2] as `values.sent` makes it."""
    instants = (f"e.{name} = datetime(row[2].{name})" for name in INSTANTS.get(edge_type, ()))
    return "SET " + ", ".join(("e = row[2]", *instants))


def _create_edges(edge_type: EdgeType) -> str:
    """From rows of source, target and properties. An end that isn't there yet is only an id until its own turn."""
    source, target = ENDS[edge_type]
    fresh = " ON CREATE SET t.tasks = 0" if target == Label.TAG else ""
    return f"""
        UNWIND $rows AS row
        MERGE (s:{source} {{{KEY[source]}: row[0]}})
        MERGE (t:{target} {{{KEY[target]}: row[1]}}){fresh}
        CREATE (s)-[e:{edge_type}]->(t)
        {_set_edge(edge_type)}
    """


HELD = {
    label: f"""
        UNWIND $ids AS id
        MATCH (n:{label} {{id: id}})
        RETURN properties(n), {_own_edges(label)}
    """
    for label in UNIT_LABELS
}

PAGE = {
    label: f"""
        MATCH (n:{label})
        WHERE n.id > $after AND n.id <= $upto
        WITH n ORDER BY n.id
        RETURN properties(n), {_own_edges(label)}
    """
    for label in UNIT_LABELS
}

SET_NODES = {
    label: f"""
        UNWIND $rows AS row
        MERGE (n:{label} {{id: row[0]}})
        SET n = row[1], n.id = row[0]
    """
    for label in UNIT_LABELS
}

DELETE_NODES = {label: f"UNWIND $ids AS id MATCH (n:{label} {{id: id}}) DETACH DELETE n" for label in UNIT_LABELS}

CREATE_EDGES = {edge_type: _create_edges(edge_type) for edge_type in EdgeType}

CHANGE_EDGES = "UNWIND $rows AS row MATCH ()-[e]->() WHERE elementId(e) = row[0] SET e = row[1]"

DELETE_EDGES = "UNWIND $ids AS id MATCH ()-[e]->() WHERE elementId(e) = id DELETE e"

SET_TAGS = "UNWIND $rows AS row MATCH (t:Tag {name: row[0]}) SET t.tasks = t.tasks + row[1]"

SET_PAIRS = """
    UNWIND $rows AS row
    MATCH (a:Tag {name: row[0]})
    MATCH (b:Tag {name: row[1]})
    MERGE (a)-[c:CO_OCCURS_WITH]->(b)
    ON CREATE SET c.count = row[2]
    ON MATCH SET c.count = c.count + row[2]
"""

UNPAIR = """
    UNWIND $rows AS row
    MATCH (:Tag {name: row[0]})-[c:CO_OCCURS_WITH]->(:Tag {name: row[1]})
    WHERE c.count = 0
    DELETE c
"""

SET_WEIGHTS = """
    UNWIND $names AS name
    MATCH (a:Tag {name: name})-[c:CO_OCCURS_WITH]-(b:Tag)
    WITH DISTINCT c, toFloat(c.count) / (a.tasks + b.tasks - c.count) AS weight
    WHERE c.weight IS NULL OR c.weight <> weight
    SET c.weight = weight
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

CONSTRAINTS = (
    *(f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{label}) REQUIRE n.{key} IS UNIQUE" for label, key in KEY.items()),
    "CREATE CONSTRAINT IF NOT EXISTS FOR (n:HopperProjection) REQUIRE n.id IS UNIQUE",
)

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

ADD_NODES = {
    label: f"""
        UNWIND $rows AS row
        CREATE (n:{label})
        SET n = row[1], n.id = row[0]
        RETURN collect(row[0]), collect(id(n))
    """
    for label in UNIT_LABELS
}

ADD_TAGS = "UNWIND $rows AS name CREATE (t:Tag {name: name}) RETURN collect(name), collect(id(t))"

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

TAG_PAIRS = "MATCH (a:Tag)-[c:CO_OCCURS_WITH]->(b:Tag) RETURN type(c), a.name, b.name, properties(c)"
