"""This machine: its memory, and what fits in it."""
