"""Pairs that ship with speccas: one YAML file each, and the tiny drafter (needed for importlib.resources)."""
