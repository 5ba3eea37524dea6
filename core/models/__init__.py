"""Models: GGUF files, llama.cpp, vocabularies, pairs. Knows nothing of rules or of the terminal."""
