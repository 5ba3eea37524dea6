"""The speccas library: no printing, no Typer, no Rich."""
