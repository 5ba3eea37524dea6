"""Which tokens are markers: they stand for a place in a conversation, not for text; nobody writes one by typing it."""

import re

_FORCED = """
<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|calls|> <|flush|> <end_of_turn> <|endoftext|> </s> <|eom_id|> <EOT>
_<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> [e~[ <｜end▁of▁sentence｜>
<|channel|> <|message|> <|start|> <|constrain|> <｜fim▁begin｜> <｜fim▁hole｜> <｜fim▁end｜> ▁<PRE> ▁<SUF> ▁<MID>
<|fim_prefix|> <fim-prefix> <fim_prefix> <|fim_suffix|> <fim-suffix> <fim_suffix> <|fim_middle|> <fim-middle>
<fim_middle> <|fim_pad|> <fim-pad> <fim_pad> <|fim_repo|> <fim-repo> <|repo_name|> <reponame> <|file_sep|>
<|code_prefix|> <|code_suffix|> <|code_middle|> <|prefix|> <|suffix|> <|middle|> <PRE> <SUF> <MID> <PAD> [PAD] <REPO>
"""
FORCED = frozenset(text.encode() for text in _FORCED.split())
"""Texts of tokens that llama.cpp never takes for ordinary ones, whatever the file says (llama-vocab.cpp)."""
SIGNED = re.compile(r"\w.*[^\w\s▁]|[^\w\s▁].*\w", re.DOTALL)
"""Letters and signs both, as markers have them."""
HTML = re.compile(
    r"</?(table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|s|sub|sup|code|p|br|hr|a|ul|ol|li)>"
)
"""Gemma has these as tokens of ordinary text."""


def is_marker(text: bytes, control: bool, defined: bool) -> bool:
    """Whether a token of this text is one: control tokens are, and of the user-defined ones those like `<tool_call>`.
    Some files have blanks, letters and HTML tags as user-defined tokens: those are ordinary text."""
    if control or text in FORCED:
        return bool(text)
    if not defined:
        return False
    written = text.decode("utf-8", "replace")
    return SIGNED.search(written) is not None and HTML.fullmatch(written) is None
