"""PostgreSQL: the one truth of a server, with pgvector for similarity."""
