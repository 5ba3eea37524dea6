"""The recipe of drafters, heads and small models: data, training, export. Its steps alone need torch."""
