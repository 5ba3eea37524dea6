"""The one gate to the terminal: every text from models, files, prompts and repositories passes here.

Knows that a terminal obeys characters; which ones is in core/visible.py. `rich.text.Text` lets ESC, C1 and
bidirectional overrides through, so it is no gate.
"""

from speccas.core.visible import json_text, one_line, visible

__all__ = ["json_text", "one_line", "visible"]
