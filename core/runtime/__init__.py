"""Models in memory, and the one way to run them."""
