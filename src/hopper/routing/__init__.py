"""How to decide and how to learn: pure functions over evidence."""
