"""Looks at everything that Hopper needs, and says what to do about what is wrong. Nothing is changed."""
