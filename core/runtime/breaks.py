"""Text that a tokenizer of llama.cpp overflows at: refused before it is tokenised.

For many tokenizers llama.cpp cuts text into words by std::regex, which goes a call deeper with each character of a
match (unicode_regex_split_stl of unicode.cpp). Measured with a stack of 8 MB: from 26,100 characters of one word on it
crashes, whatever the tokenizer.
"""

import re
import sys
import unicodedata

from ..errors import UsageError

_BY_HAND = """
a.x-4.0 chatglm-bpe codeshell command-r dbrx deepseek-r1-qwen exaone exaone4 falcon-h1 falcon3 gigachat glm4 gpt-2
granite-docling grok-2 hunyuan jais kimi-k2 kormo lfm2 llama-bpe llama-v3 llama3 megrez mellum midm-2.0 minerva-7b
modern-bert mpt olmo phi-2 pixtral qwen2 qwen35 refact roberta-bpe smaug-bpe smollm solar-open stablelm2 starcoder
trillion
"""
BY_HAND = frozenset(_BY_HAND.split())
"""tokenizer.ggml.pre of those that llama.cpp cuts without std::regex, at any length."""
LETTERS, BLANKS, SIGNS, DIGITS = "a", " ", ".", "0"
NAMES = {LETTERS: "letters", BLANKS: "blanks", SIGNS: "signs", DIGITS: "digits"}
ONLY = {"default": SIGNS + DIGITS, "falcon": SIGNS, "superbpe": DIGITS}
"""Those that only such runs are a matter of the regex for."""
TOGETHER = dict.fromkeys(("bloom", "gpt3-finnish", "poro-chat", "viking"), LETTERS + SIGNS + DIGITS)
TOGETHER["exaone-moe"] = LETTERS + BLANKS
"""Those whose words may be of several kinds."""
SAFE = 16_000  # characters of one run, with the stack that is usual
STACK = 8 << 20
SMALL = 2 << 20  # bytes of stack that Python has on Windows


def require_breaks(text: str, model: str, pre: str) -> None:
    """Raises UsageError for a run that the tokenizer could overflow at. `model`, `pre`: as its header names it."""
    most = SAFE * min(STACK, stack()) // STACK
    pre = pre or "default"
    if len(text) <= most or model != "gpt2" or pre in BY_HAND:
        return
    kinds = text.translate({ord(each): kind(each) for each in set(text)})
    together = TOGETHER.get(pre, "")
    kinds = kinds.translate(dict.fromkeys(map(ord, together), together[:1]))
    for each in ONLY.get(pre, "".join(NAMES)):
        if found := re.search(f"{re.escape(each)}{{{most + 1},}}", kinds):
            what = "characters" if each in together else NAMES[each]
            run = f"{len(found[0]):,} {what} in a row (from {text[found.start() : found.start() + 20]!r})"
            raise UsageError(
                f"there are {run}, and the tokenizer {pre!r} overflows at so many",
                f"break them up: {most:,} in a row are safe",
            )


def kind(character: str) -> str:
    """Which run a character is part of: marks go with the letters that they stand on."""
    if character.isspace():
        return BLANKS
    category = unicodedata.category(character)[0]
    return {"L": LETTERS, "M": LETTERS, "N": DIGITS}.get(category, SIGNS)


def stack() -> int:
    """Bytes of stack that this process has."""
    if sys.platform == "win32":
        return SMALL
    import resource

    size = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return STACK if size == resource.RLIM_INFINITY else size
