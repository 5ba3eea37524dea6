"""What is said of an expert on a server: what was chosen for it, and what the doctor finds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from speccas.core.errors import UsageError

if TYPE_CHECKING:
    from speccas.core.files.profiles import Profile
    from speccas.core.runtime.pair import Pair

    from .settings import Settings


def require_here(profile: "Profile", what: str) -> None:
    """Raises UsageError where a command needs the expert's file, and a server runs it."""
    if profile.expert.url:
        raise UsageError(
            f"{what} works on the expert's own file, and {profile.name} has its expert on a server",
            "take a pair whose files are here",
        )


def chosen_line(settings: "Settings") -> str:
    """What was chosen for a server where nothing was given, as it is typed; "" where nothing was, or does not count."""
    from .settings import SERVER

    if settings.temperature == 0:
        return ""
    chosen = [name for name, source in settings.sources.items() if source == SERVER]
    typed = ", ".join(f"--{name.replace('_', '-')} {getattr(settings, name)}" for name in sorted(chosen))
    return f"the expert's server tells the likeliest tokens alone, so this run has {typed}" if typed else ""


def served_lines(pair: "Pair", settings: "Settings") -> list[tuple[str, str]]:
    """(text, status) of what is to be known of an expert on a server before it answers."""
    from speccas.core.decoding.arms import parse_arm
    from speccas.core.decoding.partly import cut_list
    from speccas.core.runtime.served_expert.connection import in_the_clear, key_of_environment

    from .play import sampling_of

    if pair.probe is None:
        return []
    lines = [(f"note: {chosen}", "quiet")] if (chosen := chosen_line(settings)) else []
    cut = [name for name in settings.rule if cut_list(parse_arm(name).rule, sampling_of(settings))]
    if cut:
        told = f"approve none but the {pair.sent} likeliest tokens, which the expert's server tells"
        lines.append((f"note: {', '.join(cut)} {told}", "quiet"))
    if key_of_environment() and in_the_clear(pair.probe.model.url):
        lines.append((f"note: the key goes to {pair.probe.model.url} unencrypted", "warning"))
    return lines


def say_served(pair: "Pair", settings: "Settings") -> None:
    """Say on stderr what is to be known of an expert on a server."""
    from .advice import say
    from .view.theme import make_console

    aside = make_console(stderr=True)
    for text, status in served_lines(pair, settings):
        say(aside, text, status)


def examine_server(settings: "Settings") -> dict[str, Any]:
    """The probe of a server, and the table of where drafting pays, as a document. Raises as `load_pair`."""
    from speccas.core.calibration.planner import Planner, curves_file
    from speccas.core.calibration.trips import elsewhere_of, latency_of

    from .play import asked_of, opened, read

    with opened(settings) as pair:
        assert pair.probe is not None
        read(pair, asked_of(pair, settings, "What does it cost to read several words at once?", detail=False).prompt)
        planner = Planner(pair, curves_file())
        found = elsewhere_of(pair, latency_of(planner), planner.known_acceptance())
        assert found is not None
        return {**pair.probe.as_json(), "drafter": pair.drafter_name, "elsewhere": found.as_json()}


def server_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The document of `examine_server` in rows, label and text."""
    from .view.elsewhere import elsewhere_lines

    context = f", {found['context']:,} tokens of context" if found["context"] else ""
    rows = [
        ("server", f"{found['model']} on {found['api']} at {found['url']}{context}"),
        ("", "its tokens are the drafter's"),
        ("", f"tells the {found['sent']} likeliest tokens of a row; a round trip takes "
             f"{1e3 * found['round_trip_seconds']:.1f} ms"),
        ("", f"a draft of four in {1e3 * found['verify_seconds']:.1f} ms, {found['cached_tokens']} of "
             f"{found['text_tokens']} tokens from its prefix cache"),
    ]  # fmt: skip
    lines = elsewhere_lines(found["elsewhere"])
    return [*rows, *(("" if number else "elsewhere", line) for number, line in enumerate(lines))]
