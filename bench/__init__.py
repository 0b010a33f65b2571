"""What prints Hopper's figures, each beside its goal and, since machines differ, its floor in the same run."""
