"""The speccas command line: Typer commands and Rich views over speccas.core."""
