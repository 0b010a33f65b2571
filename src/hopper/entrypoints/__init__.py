"""How people and programs reach Hopper."""
