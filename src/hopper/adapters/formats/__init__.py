"""Readers and writers of files that tasks move in and out by: pure, from bytes to records and back."""
