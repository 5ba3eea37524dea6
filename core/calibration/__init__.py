"""What calls cost on this machine, measured, and what follows from it."""
