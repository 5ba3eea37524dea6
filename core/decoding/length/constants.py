"""Every constant of the draft-length policy, with its unit and where its value comes from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PolicyConstants:
    """Constants of the latency model, the acceptance model, the lookup statistics and the three parts of `AutoPolicy`.

    An *expert step* is the time of one expert call of batch size 1. *Chosen* means set by judgement and confirmed only
    by the simulated machines of tests/core/decoding/length: 0.97 of the best fixed length on each. What the whole
    policy then reaches on real pairs is in docs/benchmarks/2026-11.md.
    """

    # Draft length

    longest_draft: int = 16
    """Tokens in one draft, at most. Chosen. Where it was measured (Qwen2.5-Coder-1.5B as Q4_K_M, AVX-512) a call of 16
    tokens took 4.9 expert steps, hardly more than one of 8 (4.3)."""
    speed_decay: float = 0.97
    """Per round: weight of the rounds before in the recent speed. Chosen: the last 33 rounds count."""
    stable_rounds: int = 8
    """Rounds of batch size 1 in a row for which relative costs are kept: such a round tells of the machine and not of
    the curve. Chosen, to save about 0.1 ms a round."""

    # Back-off

    first_hope: float = 0.2
    """Expert steps that hopeful rounds may be expected to lose in the first answer of a pair. Chosen."""
    first_hope_share: float = 0.04
    """The same in that answer, as a share of the time that was decoded. Chosen by the recorded answers: with 0.08 a
    poor drafter, whose first drafts are believed to be better, loses a tenth of a short answer."""
    hope_share: float = 0.08
    """The same in later answers, when it is known what to hope. Chosen by the recorded answers: with 0.04 good texts
    come too late."""
    largest_hope: float = 2.5
    """Expert steps of hope that may be saved up. Chosen: a draft of three of which nothing is accepted costs 1.7."""
    optimism: float = 1.5
    """Deviations of a text's level that a hopeful round assumes. Chosen."""

    # Lookup length

    lookup_loss: float = 6.0
    """Expert steps that looked-up drafts may have lost lately before they are left off for a while; as many gained
    steps are remembered. Chosen on a simulated text in rows, which looks like a copy and is none, where it keeps the
    loss below 5 % on the curve of Qwen2.5-Coder-1.5B."""
    lookup_decay: float = 0.99
    """Per round: how fast gains and losses of looked-up drafts are forgotten. Chosen: after a loss of 7 steps, lookup
    comes back within 16 rounds."""

    # Latency model

    further_token: float = 0.3
    """Share of an expert step that each further token of a call costs while only one batch size is known. Chosen."""
    padding_limit: int = 3
    """Padding tokens in one expert call, at most. Chosen: kernels go in steps of four."""
    padding_gain: float = 0.95
    """A padded call must take at most this share of the time of the call without padding. Chosen, above the noise."""
    slower_weight: float = 0.25
    """Exponent by which a call that was slower than expected moves the model; the weight of a new drafter time too.
    Chosen: below `faster_weight`, for interference by other programs only ever makes calls slower."""
    faster_weight: float = 0.5
    """Exponent by which a call that was faster than expected moves the model. Chosen: it was no accident."""
    own_size_weight: float = 0.2
    """What part of that a call's own batch size moves in addition. Chosen."""
    stale_size_weight: float = 0.8
    """Exponent by which a batch size that was not called lately moves, and no other one with it. Chosen."""
    least_surprise: float = 0.25
    """Measured over expected seconds, clipped below. Chosen."""
    largest_surprise: float = 4.0
    """Measured over expected seconds, clipped above. Chosen."""
    fresh_calls: int = 8
    """Expert calls within which a batch size counts as called lately: a surprise is then the machine's. Chosen."""
    doubt_calls: int = 16
    """Expert calls after which a batch size that was passed over is called again, if it is doubtful. Chosen."""
    doubt_ratio: float = 1.1
    """A batch size is doubtful where its expected seconds are so many times the least seen. Chosen."""
    catch_up_share: float = 0.3
    """Share of a drafter step that each token it only reads takes, until a long reading was timed. Chosen."""

    long_reading: int = 16
    """Tokens from which on a reading tells what a token costs to read. Chosen."""

    # Acceptance model

    confidence_edges: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    """Of max q: between two lies one bucket. Chosen; `curves.json` keeps a count by bucket, so a change of their number
    makes kept figures unreadable."""
    prior_drafts: float = 2.0
    """Judged drafts that the prior counts for, in each bucket. Chosen."""
    prior_base: float = 0.1
    """Acceptance of a draft with max q of 0, before any was judged. Chosen."""
    prior_slope: float = 0.85
    """By how much more a draft with max q of 1 is accepted, before any was judged. Chosen: a drafter is believed nearly
    as much as it believes itself."""
    hoped_acceptance: float = 0.8
    """Acceptance of a draft whose q is not known yet, before any was judged. Chosen."""
    refused_weight: float = 0.2
    """Judged drafts that a position counts for which was not drafted for what q said. Chosen by the recorded answers:
    with 0 a poor drafter looks good, as only what is taken is judged; with 1 asking looks dearer than it is."""
    hoped_drafts: float = 20.0
    """Judged drafts that this counts for. Chosen."""
    follow_drafts: float = 6.0
    """Judged drafts that the mean counts for, behind each bucket. Chosen."""
    text_spread: float = 0.7
    """Standard deviation of a text's level, in log odds. Chosen by the recorded answers, between 0.5 and 1."""
    pair_spread: float = 1.0
    """The same of a pair that is not known, on top. Chosen."""
    pair_drafts: float = 20.0
    """Judged drafts after which half of that is left. Chosen."""
    remembered_drafts: float = 150.0
    """Judged drafts that earlier answers count for, in each bucket. Chosen: what is of one text is in its level."""
    borrowed_drafts: float = 20.0
    """Judged drafts that another arm's acceptance counts for, or a measured one. Chosen."""
    remembered_matches: float = 4.0
    """Tokens that earlier answers count for in the statistics of lookup, in each bucket. Chosen by the recorded
    answers: with 12, code behind edits lost a tenth to looked-up drafts."""

    # Lookup statistics

    match_edges: tuple[int, ...] = (3, 4, 6, 9, 13)
    """Tokens of a match: between two lies one bucket. Chosen."""
    match_prior: tuple[float, ...] = (0.4, 0.45, 0.6, 0.65, 0.75, 0.9)
    """By bucket: chance that a text goes on as it did, before this text shows it. Measured: a little below answers of
    Qwen2.5-Coder-1.5B to the prompts `builtin`, which seldom copy (0.45 to 0.64); to `copying` it was 0.66 to 0.97."""
    match_prior_tokens: float = 4.0
    """Tokens that this prior counts for, in each bucket. Chosen."""


CONSTANTS = PolicyConstants()
"""The values in use."""
