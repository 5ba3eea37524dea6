"""The one gate to the terminal: every text from models, files, prompts and repositories passes here.

Which characters a terminal obeys is in core/visible.py. `rich.text.Text` lets ESC, C1 and bidirectional overrides
through, so it is no gate.
"""

from speccas.core.visible import json_text, one_line, visible

__all__ = ["json_text", "one_line", "visible"]
