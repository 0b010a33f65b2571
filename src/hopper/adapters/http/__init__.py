"""Talking to a Hopper server over HTTP."""
