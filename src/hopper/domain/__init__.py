"""What things are. Frozen dataclasses and enums; no I/O, no frameworks."""
