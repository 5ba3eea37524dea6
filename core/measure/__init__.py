"""Measuring: events folded into figures. Knows nothing of llama.cpp or of the terminal."""
