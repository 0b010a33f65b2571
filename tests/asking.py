"""Who the tests are to the servers that they start: whoever has the admin key of these servers' settings."""

ADMIN_KEY = "the-key-of-all-servers-that-tests-start"
KEYED = {"Authorization": f"Bearer {ADMIN_KEY}"}
