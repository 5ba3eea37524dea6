"""The page in a headless Chromium: a real chat, and answers made up to be seen."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from speccas.core.looks.faces import FACES
from speccas.core.server.page import chat_page
from speccas.core.visible import visible
from tests.builders.browser import chromium, opened
from tests.builders.served import ENDLESS, Served

pytestmark = pytest.mark.slow
HERE = "http://localhost/"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b[2J&amp;'"
LISTED = [("pair", True), ("pair:token:0.5", False)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def told(text: str, status: str = "agreed", **more: Any) -> dict[str, Any]:
    numbers = {"source": "drafter", "q": 0.25, "p": 0.5, "log_p": -0.7, "turned_down": None}
    return {"text": text, "status": status, **numbers, **more}


def stream(tokens: Sequence[dict[str, Any]], end: str = "data: [DONE]\n\n") -> dict[str, Any]:
    """Server-sent events with a chunk a token, and the closing one."""
    chunks: list[dict[str, Any]] = [
        {"choices": [{"delta": {"content": each["text"]}}], "speccas": {"tokens": [each]}} for each in tokens
    ]
    if end:
        closing = {"choices": [{"delta": {}, "finish_reason": "length"}], "speccas": {"finish": "length"}}
        chunks.append({**closing, "timings": {"predicted_per_second": 12.34}})
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in chunks) + end
    return {"content_type": "text/event-stream; charset=utf-8", "body": body}


def refusal(status: int, message: str, **more: Any) -> dict[str, Any]:
    headers = {"Retry-After": "2"} if status == 503 else {}
    return {"status": status, "headers": headers, "json": {"error": {"message": message, **more}}}


@dataclass
class MadeUp:
    """A server that answers what it is told to, None: nothing at all. `asked`: the bodies, `keys`: who asked."""

    answers: list[dict[str, Any] | None] = field(default_factory=list)
    models: Sequence[tuple[str, bool]] = tuple(LISTED)
    key: str = ""
    asked: list[Any] = field(default_factory=list)

    def __call__(self, route: Any) -> None:
        path = route.request.url.removeprefix(HERE)
        if path == "":
            route.fulfill(body=chat_page().text, headers={**chat_page().headers, "Content-Type": "text/html"})
        elif self.key and route.request.headers.get("authorization") != f"Bearer {self.key}":
            route.fulfill(**refusal(401, "the API key is missing or wrong"))
        elif path == "v1/models":
            route.fulfill(json={"data": [entry(name, lossless) for name, lossless in self.models]})
        elif path.startswith("v1/models/"):
            known, unknown = {"json": entry("pair:entropy", False)}, refusal(404, "there is no such rule")
            route.fulfill(**(known if "pair%3Aentropy" in path else unknown))
        else:
            self.asked.append(route.request.post_data_json)
            answer = self.answers.pop(0)
            route.abort() if answer is None else route.fulfill(**answer)


def entry(name: str, lossless: bool) -> dict[str, Any]:
    return {"id": name, "speccas": {"lossless": lossless}}


class Desk:
    """The page, in front of a server that is made up."""

    def __init__(self, page: Any, server: MadeUp) -> None:
        self.page, self.server = page, server
        page.route("**/*", server)
        page.goto(HERE)

    def ask(self, text: str, answer: dict[str, Any] | None) -> None:
        self.server.answers.append(answer)
        self.page.wait_for_selector("#send:enabled")
        before = len(self.server.asked)
        self.page.fill("#prompt", text)
        self.page.press("#prompt", "Enter")
        while len(self.server.asked) == before:
            self.page.wait_for_timeout(10)
        self.page.wait_for_selector("#send", state="visible")

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.page.locator(selector).all_text_contents()
        return found


@pytest.fixture
def desk(browser: Any) -> Iterator[Desk]:
    with opened(browser, "about:blank") as page:
        yield Desk(page, MadeUp())


def brief(route: Any, **fields: Any) -> None:
    """Let a request through to the real server, greedy and with these fields."""
    body = {**route.request.post_data_json, "temperature": 0, **fields}
    route.continue_(post_data=json.dumps(body))


@pytest.mark.tiny
def test_a_chat_of_two_turns(browser: Any, served: Served) -> None:
    with opened(browser, f"http://localhost:{served.port}/") as page:
        page.route("**/chat/completions", lambda route: brief(route, max_tokens=16, ignore_eos=True))
        page.select_option("#model", "tiny:token:0.3")
        for text in ("Name three primary colours.", "Name one more."):
            page.fill("#prompt", text)
            page.press("#prompt", "Enter")
            page.wait_for_selector("#stop", state="visible")
            page.wait_for_selector("#send", state="visible")
        assert page.locator(".asked").all_inner_texts() == ["Name three primary colours.", "Name one more."]
        for figures in page.locator(".turn .figures").all_inner_texts():
            assert figures.startswith("16 tokens · accepted ") and "kept" in figures and "tokens/s" in figures
        colours = {
            status: page.locator(f".t .{status}").first.evaluate("each => getComputedStyle(each).color")
            for status in ("agreed", "deferred")
        }
        assert len({*colours.values(), page.evaluate("getComputedStyle(document.body).color")}) == 3
        first = page.locator(".t").first
        first.hover()
        tip = page.locator("#tip").inner_text()
        assert tip.startswith("token 0, ") and "q 0." in tip and "p 0." in tip
        shown = page.locator(".answer").all_text_contents()
        page.reload()
        page.wait_for_selector("#send:enabled")
        assert page.locator(".answer").all_text_contents() == shown
        assert page.locator("#model").input_value() == "tiny:token:0.3"
        page.click("#new")
        assert page.locator(".turn").count() == 0 and page.locator("#empty").is_visible()


@pytest.mark.tiny
def test_stop_ends_it_here_and_there(browser: Any, served: Served) -> None:
    """What was written stays and is part of the chat; the server is free for the next one."""
    with opened(browser, f"{served.root}/") as page:
        more = {"max_tokens": ENDLESS["max_tokens"], "ignore_eos": True}
        page.route("**/chat/completions", lambda route: brief(route, **more))
        page.wait_for_selector("#send:enabled")
        page.fill("#prompt", "Count.")
        page.press("#prompt", "Enter")
        page.wait_for_selector(".t >> nth=8")
        page.click("#stop")
        page.wait_for_selector("#send", state="visible")
        assert page.locator(".turn .figures").inner_text().endswith("stopped")
        assert page.locator("#state").inner_text() == ""
        more = {"max_tokens": 2}
        page.fill("#prompt", "Go on.")
        page.press("#prompt", "Enter")
        page.locator(".turn .figures", has_text="2 tokens · accepted").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_colours_are_those_of_the_export(browser: Any, scheme: str) -> None:
    words = {"agreed": "one", "kept": "two", "deferred": "three", "bonus": "four"}
    tokens = [told(f" {word}", status) for status, word in words.items()] + [told(" five", source="lookup")]
    with opened(browser, "about:blank", color_scheme=scheme) as page:
        desk = Desk(page, MadeUp())
        desk.ask("Count.", stream(tokens))
        assert desk.texts(".answer") == [" one two three four five"]
        for status in ("agreed", "kept", "deferred"):
            ink = FACES[status].ink
            assert ink is not None
            colour = ink.paper if scheme == "light" else ink.night
            wanted = f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"
            found = page.locator(f".t .{status} >> nth=0").evaluate("each => getComputedStyle(each).color")
            assert found == wanted, status
        bold = "each => getComputedStyle(each).fontWeight"
        weights = [page.locator(f".t .{status} >> nth=0").evaluate(bold) for status in words]
        assert weights == ["400", "700", "400", "400"]
        assert page.locator(".answer .copied").evaluate("e => getComputedStyle(e).fontStyle") == "italic"


def test_the_legend_has_what_can_occur(desk: Desk) -> None:
    def legend() -> list[str]:
        return [each.split()[0] for each in desk.page.locator("#legend > span:visible").all_inner_texts()]

    desk.page.wait_for_selector("#send:enabled")
    assert legend() == ["agreed", "deferred", "plain", "q", "p"]
    desk.page.select_option("#model", "pair:token:0.5")
    assert legend() == ["agreed", "kept", "deferred", "plain", "q", "p"]
    desk.ask("Say it again.", stream([told("It", source="lookup", q=None)]))
    assert legend() == ["agreed", "kept", "deferred", "plain", "copied", "q", "p"]


def test_what_a_token_tells_by_mouse_keys_and_finger(browser: Any) -> None:
    down = {"text": " two", "q": 0.6, "p": 0.01}
    tokens = [told("One"), told(" three", "deferred", q=0.0123, p=1.0, turned_down=down), told(".", "bonus", q=None)]
    with opened(browser, "about:blank", has_touch=True) as page:
        desk = Desk(page, MadeUp())
        desk.ask("Count.", stream(tokens))
        tip, token = page.locator("#tip:visible"), page.locator(".t")
        token.nth(1).hover()
        expected = "token 1, deferred: ' three'\nq 0.012   p 1\nin place of ' two'   q 0.6   p 0.01"
        assert tip.inner_text() == expected
        page.mouse.move(1, 1)
        assert tip.is_hidden()
        token.nth(0).focus()
        assert tip.inner_text().startswith("token 0, agreed: 'One'\nq 0.25   p 0.5")
        page.keyboard.press("ArrowRight")
        assert tip.inner_text() == expected
        page.keyboard.press("End")
        assert tip.inner_text() == "token 2, bonus: '.'\nq -   p 0.5"
        page.keyboard.press("Escape")
        assert tip.is_hidden()
        token.nth(1).tap()
        assert tip.inner_text() == expected
        assert page.locator(".t[tabindex='0']").count() == 1


def test_a_hostile_text_is_shown_as_text(browser: Any) -> None:
    """In the prompt, in the answer, in what was turned down, in a model's name and in an error."""
    down = {"text": HOSTILE, "q": 0.6, "p": 0.01}
    server = MadeUp(models=[("pair", True), (HOSTILE, False)])
    with opened(browser, "about:blank") as page:
        page.on("dialog", lambda dialog: pytest.fail("a script of a stranger ran"))
        desk = Desk(page, server)
        page.select_option("#model", index=1)
        desk.ask(HOSTILE, stream([told(HOSTILE, "deferred", turned_down=down), {**told(""), "status": "x"}]))
        page.locator(".t").hover()
        shown = visible(HOSTILE)
        assert desk.texts(".asked") == desk.texts(".answer") == [shown]
        assert page.locator("#tip").text_content().count(shown) == 2
        assert desk.texts("h2")[0].startswith(shown)
        desk.ask("Again.", refusal(400, HOSTILE))
        assert desk.texts("#state") == [shown]
        assert page.locator("img, .turn script, #state script").count() == 0
        assert server.asked[1]["messages"][:2] == [
            {"role": "user", "content": HOSTILE},
            {"role": "assistant", "content": HOSTILE},
        ]


def test_a_character_of_several_tokens_is_shown_once(desk: Desk) -> None:
    """And it tells all of them; text that comes without tokens is shown too."""
    answer = stream([told("A "), told("", p=0.125), told("", "deferred"), told("\U0001f600", "bonus")], end="")
    tail = {"choices": [{"delta": {"content": "\ufffd"}}], "speccas": {"tokens": []}}
    answer["body"] += f"data: {json.dumps(tail)}\n\ndata: [DONE]\n\n"
    desk.ask("Smile.", answer)
    assert desk.texts(".answer") == ["A \U0001f600\ufffd"] and desk.page.locator(".t").count() == 2
    desk.page.locator(".t").nth(1).hover()
    tip = desk.page.locator("#tip").inner_text()
    assert [line for line in tip.splitlines() if line.startswith("token")] == [
        "token 1, agreed: its text comes with the next one",
        "token 2, deferred: its text comes with the next one",
        "token 3, bonus: '\U0001f600'",
    ]
    assert desk.texts(".turn .figures") == ["4 tokens · accepted 67%, deferred 1"]
    desk.page.reload()
    desk.page.wait_for_selector("#send:enabled")
    assert desk.texts(".answer") == ["A \U0001f600\ufffd"]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (refusal(503, "8 requests wait already, ask again later"), "8 requests wait already, ask again later (in 2 s)"),
        (refusal(400, "too long", type="exceed_context_size_error"), "too long: begin a new chat"),
        ({"status": 502, "body": "<h1>Bad Gateway</h1>"}, "the server answers 502 Bad Gateway"),
        (None, "the server cannot be reached: is it still running?"),
        (stream([], end=""), "the server went away in the middle of the answer"),
    ],
)
def test_an_error_is_one_line_and_costs_no_message(desk: Desk, answer: dict[str, Any] | None, line: str) -> None:
    desk.ask("Hello?", answer)
    assert desk.texts("#state") == [line]
    assert desk.page.locator("#prompt").input_value() == "Hello?" and desk.page.locator(".turn").count() == 0
    desk.ask("Hello again?", stream([told("Yes")]))
    assert desk.texts("#state") == [""] and desk.texts(".answer") == ["Yes"]
    assert desk.server.asked[1]["messages"] == [{"role": "user", "content": "Hello again?"}]


@pytest.mark.parametrize(
    ("end", "line"),
    [
        ("", "the server went away in the middle of the answer"),
        ('data: {"error": {"message": "the answer was cut off"}}\n\n', "the answer was cut off"),
        ("data: {nonsense\n\n", "the server went away in the middle of the answer"),
    ],
)
def test_what_was_written_before_an_error_stays(desk: Desk, end: str, line: str) -> None:
    answer = stream([told("Well"), told(",")], end="")
    answer["body"] += end
    desk.ask("Hello?", answer)
    assert desk.texts(".answer") == ["Well,"] and desk.texts(".turn .error") == [line]
    assert desk.page.locator("#prompt").input_value() == ""


def test_a_key_is_asked_for_and_kept_in_this_tab_alone(browser: Any) -> None:
    with opened(browser, "about:blank") as page:
        desk = Desk(page, MadeUp(key="secret"))
        page.wait_for_selector("#key", state="visible")
        assert desk.texts("#state") == ["this server wants an API key"] and page.locator("#send").is_disabled()
        plain = "an API key has plain letters, digits and signs only"
        for key, line in (("other", "the API key is wrong"), ("clé", plain)):
            page.fill("#key", key)
            page.press("#key", "Enter")
            page.locator("#state", has_text=line).wait_for()
        page.fill("#key", "secret")
        page.press("#key", "Tab")
        desk.ask("Hello?", stream([told("Hi")]))
        assert desk.texts(".answer") == ["Hi"]
        page.reload()
        page.wait_for_selector("#send:enabled")
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_models_say_which_are_lossless_and_any_rule_may_be_named(desk: Desk) -> None:
    desk.page.wait_for_selector("#send:enabled")
    assert desk.texts("#model option") == ["pair (lossless)", "pair:token:0.5", "another rule ..."]
    desk.page.select_option("#model", "")
    desk.page.fill("#rule", "nonsense")
    desk.page.press("#rule", "Enter")
    desk.page.locator("#state", has_text="there is no such rule").wait_for()
    desk.page.fill("#rule", "entropy")
    desk.page.press("#rule", "Enter")
    desk.page.wait_for_selector("#rule", state="hidden")
    desk.ask("Hello?", stream([told("Hi", "kept")]))
    assert desk.server.asked[0]["model"] == "pair:entropy" and desk.server.asked[0]["speccas"] == {"statuses": True}
    assert desk.texts("h2") == ["pair:entropy  not lossless"]
    assert desk.texts(".turn .figures") == [
        "1 token · accepted 100%, kept 1, deferred 0 · 12.3 tokens/s · cut at the token limit"
    ]


def test_a_token_that_is_scrolled_to_tells_too(desk: Desk) -> None:
    """And nothing is told of one that is out of sight."""
    desk.ask("Count.", stream([told(f"{n}\n", "bonus") for n in range(100)]))
    desk.page.locator(".t").first.focus()
    desk.page.evaluate("new Promise(resolve => setTimeout(resolve, 300))")
    assert desk.texts("#tip:visible")[0].startswith("token 0, ")
    desk.page.keyboard.press("End")
    desk.page.evaluate("new Promise(resolve => setTimeout(resolve, 300))")
    assert desk.texts("#tip:visible")[0].startswith("token 99, ")
    desk.page.evaluate("document.getElementById('chat').scrollTop = 0")
    desk.page.locator("#tip").wait_for(state="hidden")


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_it_fits_every_width(browser: Any, width: int) -> None:
    with opened(browser, "about:blank", viewport={"width": width, "height": 700}) as page:
        desk = Desk(page, MadeUp(models=[("a-pair-with-quite-a-long-name-of-its-own", True)]))
        desk.ask("x" * 300, stream([told("word " * 40 + "y" * 200, "deferred")] * 12))
        page.locator(".t").last.hover()
        sizes = page.evaluate("[document.documentElement, ...document.body.children].map(each => each.scrollWidth)")
        assert max(sizes) <= width
        for selector in ("#send", "#new", "#model", "#prompt", "#tip"):
            box = page.locator(selector).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 700, selector
