"""Entry point of the console script: a Ctrl-C is quiet from the first import on. Knows nothing of commands."""

import sys


def main() -> None:
    """Run `speccas`; see app.py."""
    try:
        from .app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
