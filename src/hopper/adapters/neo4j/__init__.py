"""The graph in Neo4j: a projection of the truth, and the questions that are asked of it."""
