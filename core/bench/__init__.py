"""Paired measurement over a set of prompts, and its report."""
