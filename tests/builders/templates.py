"""Chat templates at random, each with what it is known to do to a conversation."""

import random
from dataclasses import dataclass

TEXTS = {  # how a template reads the content of `m`, and whether it can do so from a text and from a list of parts
    "text": "{{ m['content'] }}",
    "trimmed": "{{ m.content | trim }}",
    "stripped": "{{ m['content'].strip() }}",
    "json": "{{ m.content | tojson }}",
    "parts": "{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}",
    "first part": "{{ m['content'][0]['text'] }}",
    "either": "{% if m.content is string %}{{ m.content }}{% else %}{{ m.content[0].text | trim }}{% endif %}",
    "parts or nothing": "{% if m.content is not string %}{{ m.content | map(attribute='text') | join }}{% endif %}",
    "refuses a text": "{% if m.content is string %}{{ raise_exception('parts!') }}{% endif %}{{ m.content[0].text }}",
}
FAULTS = {  # what it loses of a content, whatever the form
    "nothing at all": "",
    "all but its role": "{{ m.role }}",
    "all but six letters": "{{ (m.content if m.content is string else m.content[0].text)[:6] }}",
    "its case": "{{ (m.content if m.content is string else m.content[0].text) | upper }}",
    "the list itself": "{{ m.content if m.content is not string else '' }}",
}
SYSTEMS = ("branch", "refused", "dropped", "merged")
STYLES = ("loop", "macro", "namespace", "continue")
OPENINGS = ("{% if add_generation_prompt %}<a>{% endif %}", "<a>", "")


@dataclass(frozen=True, slots=True)
class Made:
    """A template and the truth about it: `loses` are roles whose content it never shows whole, `folds` whether a system
    message has to stand in the first user message."""

    text: str
    loses: frozenset[str]
    folds: bool
    only_last: bool


def made(seed: int) -> Made:
    """One template."""
    draw = random.Random(seed)
    loses: set[str] = set()
    one = draw.choice(list(TEXTS.values()))
    reads: dict[str, str] = {}
    for role in ("system", "user", "assistant"):
        reads[role] = one if draw.random() < 0.7 else draw.choice(list(TEXTS.values()))
        if draw.random() < 0.12:
            reads[role] = draw.choice([FAULTS[name] for name in FAULTS if role != "assistant" or name != "its case"])
            loses.add(role)
    system = draw.choice(SYSTEMS)
    only_last = draw.random() < 0.1
    body, source = _body(system, reads, draw), "messages[-1:]" if only_last else "messages"
    return Made(
        _styled(draw.choice(STYLES), body, source) + draw.choice(OPENINGS),
        frozenset(loses),
        system in ("refused", "dropped"),
        only_last,
    )


def _body(system: str, reads: dict[str, str], draw: random.Random) -> str:
    """One message `m`."""
    said = {
        "branch": f"<s>{reads['system']}</s>",
        "refused": "{{ raise_exception('System role not supported') }}",
        "dropped": "",
        "merged": reads["system"] + "\n",
    }[system]
    user, answer = f"<u>{reads['user']}</u>", f"<a>{reads['assistant']}</a>{{{{ eos_token }}}}"
    blank = draw.choice(["", "\n", "\n\n    "])
    return (
        f"{{% if m['role'] == 'system' %}}{said}{blank}{{% elif m.role == 'user' %}}{blank}{user}"
        f"{{% elif m.role == 'assistant' %}}{answer}{blank}{{% endif %}}"
    )


def _styled(style: str, body: str, source: str) -> str:
    if style == "macro":
        macro = f"{{% macro one(m) %}}{body}{{% endmacro %}}"
        return f"{macro}{{% for each in {source} %}}{{{{ one(each) }}}}{{% endfor %}}"
    if style == "namespace":
        return (
            f"{{% set ns = namespace(count=0) %}}{{{{ bos_token }}}}{{% for m in {source} %}}"
            f"{{% set ns.count = ns.count + 1 %}}{{{{ ns.count }}}}{body}{{% endfor %}}"
        )
    if style == "continue":
        return f"{{% for m in {source} %}}{{% if m.role == 'tool' %}}{{% continue %}}{{% endif %}}{body}{{% endfor %}}"
    return f"{{{{ bos_token }}}}{{% for m in {source} %}}{body}{{% endfor %}}"
