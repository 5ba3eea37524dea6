"""An expert whose layers are on other machines: llama.cpp's RPC workers."""
