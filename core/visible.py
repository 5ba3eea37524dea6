"""Characters that a terminal or a page would obey, shown as glyphs.

`cli/view/safe.py` is the gate to the terminal; files that people open (reports) pass their texts through here as well.
"""

import json
import re

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CLASS = (
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}\u2028\u2029\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_UNSAFE = re.compile(_CLASS)
_ESCAPED = re.compile("[\udc80-\udcff]+")


def _bytes(found: re.Match[str]) -> str:
    return found.group().encode("ascii", "surrogateescape").decode("utf-8", "replace")


def _glyph(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return chr(0x2400 + code)  # control pictures: ESC shows as one visible character
    if code == 0x7F:
        return "\u2421"
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"<U+{code:04X}>"


def visible(text: str) -> str:
    """The text with everything that a terminal would obey shown as a glyph; line feeds stay, tabs become spaces.

    Bytes of a file's name or an argument that Python could not read in the locale's encoding are read as UTF-8.
    """
    return _UNSAFE.sub(_glyph, _ESCAPED.sub(_bytes, text)).replace("\t", "    ")


def javascript_class() -> str:
    """The same characters as a regular expression of JavaScript, to be read with the flag `u`."""
    return "".join(each if each in "[-]" else f"\\u{{{ord(each):x}}}" for each in _CLASS)


def json_text(document: object) -> str:
    """A JSON document to print: the same values, with all that a terminal would obey written as escapes of JSON."""
    return _UNSAFE.sub(_escape, json.dumps(document, ensure_ascii=False, indent=1))


def json_line(document: object) -> str:
    """The same on one line, for JSON lines."""
    return _UNSAFE.sub(_escape, json.dumps(document, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


def one_line(text: str) -> str:
    """As `visible`, for names and messages: line feeds are shown too."""
    return visible(text).replace("\n", "\u240a")
