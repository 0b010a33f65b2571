"""Hopper routes every task to whoever should do it, explains why, and learns from every outcome."""

__version__ = "0.1.0"
