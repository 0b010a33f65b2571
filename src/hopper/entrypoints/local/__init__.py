"""Hopper's commands on a directory of files, with no server."""
