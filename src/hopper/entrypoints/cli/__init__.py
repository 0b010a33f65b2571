"""The hopper command."""
