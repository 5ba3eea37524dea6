"""What model files say of themselves, read without loading them."""
