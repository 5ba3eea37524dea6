"""What the endpoint costs: answers streamed over HTTP and by `generate()` in this process, interleaved.

Not a test: times are noisy.

python scripts/serve_cost.py [REPEATS [PAIR [TOKENS [THREADS]]]]; run it alone on a machine. Prints the median ratio of
speeds, HTTP over in process, and its spread. Both write the same text, so a speed is characters a second.
"""

import http.client
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speccas.core.conversation.template import Message
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Judged
from speccas.core.files.profiles import find_profile
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import FixedDrafting, Length, generate
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import prompt_of

TEXT = "Write a short poem about the sea."
K = 4


@contextmanager
def serving(pair: str, threads: int) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server of the pair, in processes of its own as always."""
    script = str(Path(sys.executable).with_name("speccas"))
    flags = ["--port", "0", "--pair", pair, "-k", str(K), "--lookup", "off", "--threads", str(threads)]
    process = subprocess.Popen([script, "serve", *flags], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = next(found[1] for line in process.stderr if (found := re.search(r"at http://[^ ]+:(\d+)/v1", line)))
        yield http.client.HTTPConnection("127.0.0.1", int(port))
    finally:
        process.terminate()
        process.communicate()


def speed_here(pair: Pair, tokens: int) -> tuple[float, str]:
    """Wall clock, from what the first round wrote on; and the text."""
    parts: list[tuple[float, str]] = []
    prompt, length = prompt_of(pair, [Message("user", TEXT)]), Length(tokens, ignore_eos=True)
    for event in generate(pair, prompt, parse_arm("exact"), length=length, drafting=FixedDrafting(K)):
        if isinstance(event, Judged):
            parts.append((time.perf_counter(), "".join(token.text for token in event.tokens)))
    return speed(parts)


def speed_there(server: http.client.HTTPConnection, tokens: int) -> tuple[float, str]:
    """The same, by the times at which chunks come in."""
    asked = {"max_tokens": tokens, "ignore_eos": True, "temperature": 0, "stream": True}
    body = json.dumps({"messages": [{"role": "user", "content": TEXT}], **asked})
    server.close()  # the server may have, while it waited for the other
    server.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    came = [(time.perf_counter(), line) for line in server.getresponse() if line.startswith(b"data: {")]
    chunks = [(at, choice) for at, line in came for choice in json.loads(line[6:])["choices"]]
    return speed([(at, choice["delta"].get("content") or "") for at, choice in chunks])


def speed(parts: list[tuple[float, str]]) -> tuple[float, str]:
    """Characters a second behind the first part, and all of them."""
    told = [part for part in parts if part[1]]
    text = "".join(part for _, part in told)
    return (len(text) - len(told[0][1])) / (told[-1][0] - told[0][0]), text


def main(repeats: int, name: str, tokens: int, threads: int) -> None:
    ratios = []
    with load_pair(find_profile(name), LoadOptions(threads=threads)) as pair, serving(name, threads) as server:
        speed_here(pair, tokens), speed_there(server, tokens)  # both have read the prompt from here on
        for i in range(repeats):
            if i % 2:
                (here, text), (there, told) = speed_here(pair, tokens), speed_there(server, tokens)
            else:
                (there, told), (here, text) = speed_there(server, tokens), speed_here(pair, tokens)
            if text != told:
                print("the texts differ, so the ratio says little")
            ratios.append(there / here)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{name}: {middle:.3f} (quartiles {low:.3f} to {high:.3f}, {repeats} pairs of {tokens} tokens)")


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(int(given.get(1, 12)), given.get(2, "tiny"), int(given.get(3, 128)), int(given.get(4, 1)))
