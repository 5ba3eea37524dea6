"""Draft heads over llama.cpp's graphs, each kind in a file."""
