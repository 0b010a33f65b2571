"""Who the bench is to the servers that it starts."""

ADMIN_KEY = "the-key-of-all-servers-that-the-bench-starts"
KEYED = {"Authorization": f"Bearer {ADMIN_KEY}"}
