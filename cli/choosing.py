"""Which rule for what: the advice that `speccas rules` begins with, and a few words on each. Plain texts, so that a
completion can show them; a test holds them against the rules that there are."""

FIRST = (
    ("exact", "the answer must be the expert's own: speculative decoding, and the default"),
    (
        "token",
        "another wording will do: a draft stays where the expert finds it at least half as likely as its best",
    ),
    ("token:0.2", "the same, stricter; token:0.8 is looser"),
    ("confidence", "the drafter is good at this: a draft stays where the drafter itself is sure of it"),
    ("expert", "no drafts at all: what the others are measured against"),
)
"""What nearly everybody needs: (as typed, when)."""
ADVICE = {
    "exact": "the expert's own text",
    "confidence": "keep what the drafter is sure of",
    "entropy": "keep where the drafter hesitates little",
    "comparative": "keep unless the expert is clearly surer",
    "cost-benefit": "the same, weighed by how far the two differ",
    "token": "keep what the expert finds likely enough",
    "token-q": "keep what the drafter finds about as likely as the expert its best",
    "token-margin": "as token, by a margin instead of a share",
    "token-safe": "as token, and the exact test for the rest",
    "top-k": "keep the expert's first few choices",
    "lossy": "the exact test, made lenient",
    "bild": "keep unless the two models differ too much",
    "ensemble": "the exact test against a mixture of both models",
    "typical": "as token, looser where the expert hesitates",
    "expert": "the expert alone",
    "drafter": "the drafter alone",
    "token-cascade": "token by token: the drafter where it is sure",
    "answer-cascade": "the drafter's answer where it is sure of all of it",
}
"""What each does, in a few words."""
