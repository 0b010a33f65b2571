"""What may leave this machine, and how it merges."""
