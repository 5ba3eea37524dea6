"""The number that an answer comes to, however it is written: `1,234.50`, `1 000`, `.5`, `3/4`, `\\boxed{18}`.

What could be read in two ways is read as in English (`1.000` is 1); what has one meaning only has that (`1.000,5`).
A percent sign, a currency and a unit are no part of the number.
"""

import re
from fractions import Fraction

BLANK = "[ \u00a0\u2009\u202f]"
BODIES = (
    rf"\d{{1,3}}(?:{BLANK}\d{{3}})+(?![\d{BLANK[1:-1]}]\d)(?:[.,]\d+)?(?!\d)",  # 1 000 and 1 000,5
    r"\d{1,3}(?:['\u2019_]\d{3})+(?!\d)(?:\.\d+)?",  # 1'000
    r"\d{1,3}(?:\.\d{3})+,\d+",  # 1.000,5
    r"\d{1,3}(?:\.\d{3}){2,}(?![\d.]\d)",  # 1.000.000
    r"\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)(?:\.\d+)?",  # 1,234.50 and 1,00,000
    r"\d+,\d{1,2}(?!\d|,\d)",  # 12,50
    r"\d+(?:\.\d+)?",
    r"(?<!\.)\.\d+",
)
NUMBER = re.compile(
    r"(?P<minus>(?<![\w)\]}%.\-])[-\u2212\u2013])?(?:[$€£¥](?P<inner>[-\u2212])?)?"
    r"(?<![A-Za-z\d^])(?<![A-Za-z]_)"  # x2, m^2 and x_2 are names
    rf"(?:(?P<whole>\d+){BLANK}(?=\d+/\d))?(?P<body>{'|'.join(BODIES)})"
    r"(?:\^(?P<raised>[-\u2212]?\d+)(?![\d^]))?"
    r"(?:/(?P<below>\d+)(?![\d/]|\.\d))?"
    r"(?:[eE](?P<power>[-+]?\d+)(?!\w)|\s?(?:×|\\times|\\cdot|\*)\s?10\^(?P<ten>[-\u2212]?\d+))?"
)
MARK = re.compile(r"(?<!#)####(?!#)([^\n]*)")
"""GSM8K puts the answer behind it; models write headings with it as well."""
BEFORE = re.compile(r"[\s*_$\\(\[]*(?:[A-Za-z][A-Za-z ]*[:=][\s*_$\\(\[]*)?")
HEADING = re.compile(r"[.):]+\**\s+\S")
ITEM = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+(?=\S)", re.MULTILINE)
ALONE = re.compile(rf"\s*(?:{NUMBER.pattern})\s*%?(?:\s*[a-z°][^\s\d]*)?\.?\s*")

LONGEST = 400
"""Digits of a number, at most."""

VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅛": "1/8"}
LATEX = (
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[,;:! ]"), "\u2009"),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile(r"\^\{([^{}]*)\}"), r"^\1"),
    (re.compile(r"(?<=\d)\s*\\[dtc]?frac"), r" \\frac"),
    (re.compile(r"\\[dtc]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r"\1/\2"),
    (re.compile(r"\\[dtc]?frac\s*(\d)\s*(\d)(?!\d)"), r"\1/\2"),
    (re.compile(r"\b(?:USD|EUR|GBP|Rs)\.?(?=\d)"), ""),
    (re.compile(r"\b\d{1,4}/\d{1,2}/(?=\d)"), ""),  # of a date the last part
)


def final_number(text: str) -> Fraction | None:
    """What stands behind the last answer mark, else in the last box, else the last number of the text."""
    text = plain(text)
    for found in (marked(text), boxed(text)):
        if found is not None:
            return found
    numbers = [*NUMBER.finditer(ITEM.sub("", text))] or [*NUMBER.finditer(text)]
    return value(numbers[-1]) if numbers else None


def is_number(text: str) -> bool:
    """Whether an accepted answer is a number to compare with: marked as one, or nothing besides but a unit."""
    text = plain(text)
    return marked(text) is not None or boxed(text) is not None or ALONE.fullmatch(text) is not None


def marked(text: str) -> Fraction | None:
    """The number behind the last `####` that one follows, alone or behind `Answer:`; `#### 2. Add them` is none."""
    last = None
    for found in MARK.finditer(text):
        line = found[1]
        number = NUMBER.match(line, match_end(BEFORE, line))
        if number is not None and not HEADING.match(line, number.end()):
            last = value(number)
    return last


def match_end(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return 0 if found is None else found.end()


def boxed(text: str) -> Fraction | None:
    """The last number in the last \\boxed{}."""
    at = text.rfind("\\boxed{")
    if at < 0:
        return None
    depth, start = 1, at + len("\\boxed{")
    end = start
    while end < len(text) and depth:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    numbers = [*NUMBER.finditer(text[start:end])]
    return value(numbers[-1]) if numbers else None


def plain(text: str) -> str:
    """Fractions and separators of LaTeX as people type them."""
    for letter, written in VULGAR.items():
        text = re.sub(rf"(?<=\d){letter}", f" {written}", text).replace(letter, written)
    for pattern, put in LATEX:
        text = pattern.sub(put, text)
    return text


def value(found: re.Match[str]) -> Fraction | None:
    """What a match of NUMBER is; None for a division by zero, and for more digits than an answer has."""
    if any(len(part or "") > LONGEST for part in found.groupdict().values()):
        return None
    number = Fraction(ungrouped(found["body"]))
    if found["raised"]:
        power = int(found["raised"].replace("\u2212", "-"))
        if abs(power) * len(found["body"]) > LONGEST or not (number or power > 0):
            return None
        number = number**power
    if found["below"]:
        if not int(found["below"]):
            return None
        number = number / int(found["below"]) + int(found["whole"] or 0)
    exponent = int((found["power"] or found["ten"] or "0").replace("\u2212", "-"))
    if abs(exponent) > LONGEST:
        return None
    number *= Fraction(10) ** exponent
    return -number if found["minus"] or found["inner"] else number


def ungrouped(body: str) -> str:
    """Digits and at most a decimal point."""
    body = re.sub(rf"{BLANK}|['\u2019_]", "", body)
    if re.fullmatch(r"\d+(?:\.\d{3})+,\d+|\d+,\d{1,2}", body):
        return body.replace(".", "").replace(",", ".")
    if body.count(".") > 1:
        return body.replace(".", "")
    return body.replace(",", "")
