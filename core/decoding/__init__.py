"""Decoding: rules, verification and the loop. Knows token ids and numbers, not llama.cpp, files or terminals."""
