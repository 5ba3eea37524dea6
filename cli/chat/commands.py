"""What can be typed in a chat after a slash. One function a command, one table; knows the session, draws little."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speccas.core.conversation import transcript as conversations
from speccas.core.errors import UsageError
from speccas.core.nearest import nearest
from speccas.core.record.trace import TraceArm

from ..options import drawn_seed
from ..outputs import require_new, write_new
from ..settings import CHECKS, IN_CHAT
from ..view.tables import stats
from ..view.theme import make_look
from .kept import session_file
from .sessions import begin, dated, open_session, other_pair, show_sessions, turns

if TYPE_CHECKING:
    from .loop import Chat


def change(chat: "Chat", name: str, value: str) -> None:
    """Change a setting of sampling or length; "none" takes a limit or a stop text away, and draws a seed. Raises
    UsageError."""
    if name not in IN_CHAT:
        raise UsageError(f"{name!r} cannot be set in a chat", f"one of {', '.join(IN_CHAT)}")
    none: dict[str, Any] = {"max_tokens": None, "budget": None, "stop": (), "seed": drawn_seed()}
    chat.change(**{name: none[name] if value == "none" and name in none else CHECKS[name](name, value)})


WIDE = 1000  # cells: a page breaks its lines itself


@dataclass(frozen=True, slots=True)
class Command:
    """`run(chat, rest)`: what the command does with the text behind its name."""

    usage: str
    help: str
    run: Callable[["Chat", str], None]


def show_help(chat: "Chat", rest: str) -> None:
    width = max(len(command.usage) for command in COMMANDS.values())
    for command in COMMANDS.values():
        chat.say(f"  {command.usage:<{width}}  {command.help}", "")
    chat.say(
        "Enter sends. Alt-Enter, a paste or three quotes make lines; Ctrl-G opens $EDITOR; Ctrl-C stops an answer, "
        "Ctrl-Z the process. What you type during an answer waits for its end. "
        'A message that begins with a slash goes in """three quotes""".'
    )


def rule(chat: "Chat", rest: str) -> None:
    if rest:
        chat.change(rule=(rest,))
    chat.say(f"rule {chat.session.arm.name}")


def draft_tokens(chat: "Chat", rest: str) -> None:
    if rest:
        change(chat, "draft_tokens", rest)
    chat.say(f"k {chat.settings.draft_tokens}")


def think(chat: "Chat", rest: str) -> None:
    if rest:
        change(chat, "think", rest)
    chat.say(f"think {chat.settings.think}")


def view(chat: "Chat", rest: str) -> None:
    from ..view.arms import check_view

    if rest:
        check_view(rest)
        chat.view = rest
    chat.say(f"view {chat.view}")


def why(chat: "Chat", rest: str) -> None:
    from ..view.arms import show_why

    try:
        index = int(rest)
    except ValueError:
        raise UsageError(f"/why takes the number of a token, not {rest!r}", "the first token is 0") from None
    judged = chat.session.why(index)
    assert chat.session.last is not None
    show_why(make_look(chat.console), chat.session.last.arm.name, [judged], index)


def show_stats(chat: "Chat", rest: str) -> None:
    pair, last = chat.pair, chat.session.last
    chat.say(f"evaluated since the start: expert {pair.expert.evaluated} tokens, drafter {pair.drafter.evaluated}", "")
    if last is not None:
        whole = len(last.prompt.ids) - 1
        chat.say(f"of the last prompt ({whole} tokens), the rest was in the caches: "
                 f"expert {last.read['expert']} tokens, drafter {last.read['drafter']}", "")  # fmt: skip
        for line in stats(last.figures):
            chat.say(line, "")


def set_parameter(chat: "Chat", rest: str) -> None:
    name, _, value = rest.partition(" ")
    if not rest:
        settings = chat.settings
        width = max(map(len, IN_CHAT)) + 2
        for each in IN_CHAT:
            value = getattr(settings, each)
            chat.say(f"  {each:<{width}}{as_typed(value):<10}{settings.sources.get(each, '')}", "")
        return
    if not value:
        raise UsageError("/set takes a parameter and a value", "for example /set temperature 0")
    change(chat, name.replace("-", "_"), value.strip())
    chat.say(f"{name} {as_typed(getattr(chat.settings, name.replace('-', '_')))}")


def as_typed(value: object) -> str:
    """A setting as `/set` takes it back."""
    if isinstance(value, tuple):
        return ", ".join(map(repr, value)) or "none"
    return "none" if value is None else str(value)


def system(chat: "Chat", rest: str) -> None:
    chat.system(rest)
    chat.say("system message set" if rest else "no system message")


def regen(chat: "Chat", rest: str) -> None:
    session = chat.session
    settings, before = chat.settings, session.conversation
    if rest:
        chat.change(rule=(rest,))
    try:
        turn = session.again()
        chat.answer(turn.user)
    finally:
        if len(session.conversation.turns) < len(before.turns):  # refused, or stopped before it began
            chat.use(settings)
            session.restore(before)
    if len(session.conversation.turns) == len(before.turns) and (new := session.conversation.turns[-1]) is not turn:
        chat.say(difference(turn.ids or (), new.ids or ()))


def difference(before: Sequence[int], after: Sequence[int]) -> str:
    """What a second answer changed."""
    if tuple(before) == tuple(after):
        return "the same answer, token for token"
    first = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    alike = SequenceMatcher(None, before, after, autojunk=False).ratio()
    return f"differs from the answer before at token {first}; {alike:.0%} of the tokens are the same"


def undo(chat: "Chat", rest: str) -> None:
    turn = chat.session.undo()
    chat.say(f"taken back: {' '.join(turn.user.split())[:60]}")


def save(chat: "Chat", rest: str) -> None:
    path, force = new_file(rest, "/save", "talk.json")
    require_new(path, force or path.resolve() in chat.own_files, over("/save", path))
    chat.session.save(path)
    chat.own_files.add(path.resolve())
    chat.say(f"saved to {path}")


def load(chat: "Chat", rest: str) -> None:
    conversation = conversations.load(existing(rest, "/load"))
    chat.require_said(conversation.system)
    notes = other_pair(conversation, chat.pair)
    same = chat.session.open(conversation)
    begin(chat.session, session_file())
    chat.own_files.add(file_for(rest, "/load").resolve())
    chat.say(f"{turns(conversation)} from {rest}")
    for note in notes:
        chat.say(note, "warning")
    if not same:
        chat.say("they were written with another vocabulary, and are read anew", "warning")


def clear(chat: "Chat", rest: str) -> None:
    chat.session.clear()
    chat.session.conversation = dated(replace(chat.session.conversation, began=""))
    begin(chat.session, session_file())
    chat.say("cleared; what was said stays in its file (/sessions)" if chat.session.path else "cleared")


def context(chat: "Chat", rest: str) -> None:
    session = chat.session
    for message in session.conversation.messages()[0]:
        chat.say(f"{message.role}: {message.content}", "")
    used = len(session.prompt().ids)
    first = session.conversation.first
    gone = f"; the {first} oldest turns are no longer seen" if first else ""
    chat.say(f"{used} of {chat.pair.context} tokens ({used / chat.pair.context:.0%}){gone}")


def export(chat: "Chat", rest: str) -> None:
    from ..commands.replay import export_to
    from ..view.header import facts_of, header_lines

    path, force = new_file(rest, "/export", "talk.md")
    hint = over("/export", path)
    last = chat.session.last
    if path.suffix == ".md":
        head = ["".join(text for text, _ in line) for line in header_lines(facts_of(chat.pair, chat.settings), WIDE)]
        write_new(path, conversations.as_markdown(chat.session.conversation, head), force, hint)
    elif path.suffix not in (".html", ".svg"):
        kinds = "ends in .md, for the conversation, or in .html or .svg, for the last answer"
        raise UsageError(f"cannot export to {path.name}", f"give a name that {kinds}")
    elif last is None or last.fold.started is None:
        raise UsageError("there is no answer to export", "ask something first, or give a name that ends in .md")
    else:
        about = {"pair": chat.pair.name, **facts_of(chat.pair, chat.settings)}
        arm = TraceArm(last.fold.started, last.user, about, last.fold.rounds, last.figures.as_json())
        export_to([arm], path, force, hint)
    chat.say(f"written to {path}")


def pair(chat: "Chat", rest: str) -> None:
    if rest:
        chat.change_pair(rest)
    chat.say(f"pair {chat.pair.name}")


def leave(chat: "Chat", rest: str) -> None:
    """The loop ends on this command."""


COMMANDS = {
    "/help": Command("/help", "this list", show_help),
    "/rule": Command("/rule [NAME[:ALPHA]]", "decide by another rule from now on", rule),
    "/k": Command("/k [N|auto]", "most tokens drafted a round, or as many as pay", draft_tokens),
    "/think": Command("/think [on|off|auto]", "whether the model thinks first; auto: as its template has it", think),
    "/view": Command("/view [tokens|numbers|rounds|off]", "how answers are shown", view),
    "/why": Command("/why N", "explain token N of the last answer", why),
    "/stats": Command("/stats", "figures of the last answer, and what was evaluated", show_stats),
    "/set": Command(
        "/set [PARAM VALUE]",
        "temperature, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed, test, budget, confidence_temperature, "
        "max_tokens, stop",
        set_parameter,
    ),
    "/system": Command("/system TEXT", "set the system message", system),
    "/regen": Command(
        "/regen [RULE]", "answer the last message again (by RULE from now on), and say what changed", regen
    ),
    "/undo": Command("/undo", "take the last turn back", undo),
    "/save": Command("/save [--force] FILE", "save the conversation; --force: over a file that is there", save),
    "/load": Command("/load FILE", "go on with a saved conversation", load),
    "/sessions": Command("/sessions", "the saved conversations, the newest first", show_sessions),
    "/open": Command("/open N", "go on with a saved conversation", open_session),
    "/clear": Command("/clear", "forget all turns", clear),
    "/context": Command("/context", "what the models see, and how full the context is", context),
    "/export": Command("/export [--force] FILE", "the conversation as .md, the last answer as .html or .svg", export),
    "/pair": Command("/pair NAME", "another pair, the same conversation", pair),
    "/exit": Command("/exit", "leave (Ctrl-D too)", leave),
}


def run_command(chat: "Chat", text: str) -> bool:
    """Do what was typed; True when it was /exit. Raises UsageError with the nearest command."""
    name, _, rest = text.partition(" ")
    if name not in COMMANDS:
        near = nearest(name, COMMANDS)
        guess = f"did you mean {near}? " if near else ""
        raise UsageError(f"there is no command {name!r}", f"{guess}/help lists them")
    COMMANDS[name].run(chat, rest.strip())
    return name == "/exit"


def file_for(text: str, command: str, example: str = "talk.json") -> Path:
    if not text:
        raise UsageError(f"{command} takes a file", f"for example {command} {example}")
    return Path(text).expanduser()


def new_file(text: str, command: str, example: str) -> tuple[Path, bool]:
    """The file that a command is to write, and whether over one that is there."""
    force = text.split(" ")[0] == "--force"
    return file_for(text.removeprefix("--force").strip() if force else text, command, example), force


def over(command: str, path: Path) -> str:
    """What to type where the file is there already."""
    return f"give another name, or {command} --force {path}"


def existing(text: str, command: str) -> Path:
    path = file_for(text, command)
    if not path.is_file():
        raise UsageError(f"no such file: {path}", "check the path")
    return path
