"""Commands with an expert on a server: flags, profiles and what is refused, as a person types them."""

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jsonschema
import pexpect
import pytest

from speccas.cli.options import for_server
from speccas.cli.settings import SERVER, Settings
from speccas.core.headers.gguf import read_header
from speccas.core.optimize.layers import cut_layers
from speccas.core.runtime.backend import ModelFile
from speccas.core.runtime.llama import LlamaBackend
from tests.builders.expert_server import ExpertServer, Fault, ModelBrain, listening
from tests.builders.models import smollm2
from tests.builders.talk import Start

Run = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.tiny
KEY = "sk-very-secret-1234"
PROMPT = "What is a harbour?"
SCHEMA = Path(__file__).parents[2] / "docs/schema/run.schema.json"


@pytest.fixture(scope="module")
def drafter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    expert = smollm2()
    assert expert is not None
    target = tmp_path_factory.mktemp("drafter") / "half.gguf"
    cut_layers(expert, target, 14)
    return target


@pytest.fixture(scope="module")
def brain() -> Iterator[ModelBrain]:
    expert = smollm2()
    assert expert is not None
    weights = LlamaBackend().load(ModelFile(expert, read_header(expert), expert.stat().st_size))
    yield ModelBrain(weights)
    weights.close()


@pytest.fixture
def server(brain: ModelBrain) -> ExpertServer:
    return ExpertServer(brain, key=KEY)


@pytest.fixture
def there(server: ExpertServer, drafter: Path) -> Iterator[list[str]]:
    with listening(server) as url:
        yield ["--drafter", str(drafter), "--expert-url", url, "--expert-api", "sglang"]


def test_run_writes_what_the_expert_here_writes(
    speccas: Run, there: list[str], drafter: Path, server: ExpertServer, tmp_path: Path
) -> None:
    with_key = {"SPECCAS_EXPERT_KEY": KEY}
    done = speccas("run", PROMPT, "-n", "24", *there, env=with_key)
    expert = str(smollm2())
    here = speccas("run", PROMPT, "-n", "24", "--drafter", str(drafter), "--expert", expert, "--rule", "expert")
    assert done.returncode == 0 and done.stdout == here.stdout and len(done.stdout) > 40
    assert re.search(r"note: the expert is on http://[\d.:]+: (at|drafting here) .*(pay|round trip)", done.stderr)
    trace = tmp_path / "trace.jsonl"
    told = speccas("run", PROMPT, "-n", "12", *there, "--trace", str(trace), "--json", env=with_key)
    document = json.loads(told.stdout)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert document["manifest"]["expert"]["server"].startswith("sglang at http://127.0.0.1")
    assert document["arms"][0]["speedup_if_flat"] is None
    assert KEY not in trace.read_text() + told.stdout + told.stderr + done.stderr
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_compare_has_its_arms(speccas: Run, there: list[str]) -> None:
    done = speccas("compare", PROMPT, "-n", "16", "--json", *there, env={"SPECCAS_EXPERT_KEY": KEY})
    arms = {arm["name"]: arm for arm in json.loads(done.stdout)["arms"]}
    assert set(arms) == {"expert", "exact", "token", "confidence"}
    assert arms["exact"]["identical_to_expert"] is True and arms["exact"]["text"] == arms["expert"]["text"]


@pytest.mark.slow
def test_a_profile_names_a_server(speccas: Run, there: list[str], drafter: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "speccas" / "pairs"
    pairs.mkdir(parents=True)
    url = there[3]
    (pairs / "box.yaml").write_text(
        f"name: box\ndrafter: {{path: {drafter}}}\nexpert: {{url: '{url}', api: vllm}}\n"
        "defaults: {temperature: 0.8}\n"
    )
    env = {"SPECCAS_EXPERT_KEY": KEY, "XDG_CONFIG_HOME": str(tmp_path)}
    done = speccas("run", PROMPT, "-n", "12", "--pair", "box", env=env)
    assert done.returncode == 0 and done.stdout.strip()
    assert "so this run has --test token, --top-k 20" in done.stderr
    for command in (["tune"], ["optimize", "box"], ["show", "box"], ["check", "box"], ["verify", "box"]):
        told = speccas(*command, *(["--pair", "box"] if command == ["tune"] else []), env=env)
        assert "Traceback" not in told.stderr
        assert told.returncode == 2 and "on a server" in told.stderr, command
    assert "box" in speccas("list", env=env).stdout
    (pairs / "box.yaml").write_text(f"name: box\ndrafter: {{path: {drafter}}}\nexpert: {{url: '{url}'}}\n")
    assert "expert is not on a server" in speccas("run", PROMPT, "--pair", "box", env=env).stderr


@pytest.mark.slow
def test_environment_and_config_file(speccas: Run, there: list[str], drafter: Path, tmp_path: Path) -> None:
    (tmp_path / "speccas").mkdir()
    (tmp_path / "speccas" / "config.yaml").write_text(f"expert_api: sglang\ndrafter: {drafter}\n")
    env = {"SPECCAS_EXPERT_KEY": KEY, "SPECCAS_EXPERT_URL": there[3], "XDG_CONFIG_HOME": str(tmp_path)}
    assert speccas("run", PROMPT, "-n", "8", env=env).returncode == 0


REFUSED = {
    "a rule": (["--rule", "typical"], "typical cannot run with this expert: at this temperature the rule reads all"),
    "a test": (["--temperature", "1", "--test", "coupled"], "coupled sampling needs all"),
    "blocks": (["--temperature", "1", "--test", "block"], "block verification needs all"),
    "a penalty": (["--repeat-penalty", "1.1"], "a repetition penalty changes every probability"),
    "a wide top-k": (["--temperature", "0.5", "--top-k", "500"], "top-k 500 is more than the 20"),
    "a long list": (["--rule", "top-k:99"], "99 most likely tokens, and its server tells 20"),
    "a budget": (["--temperature", "1", "--budget", "1", "--rule", "token"], "a budget above temperature 0"),
    "two experts": (["--expert", "x.gguf"], "give two experts"),
    "a head": (["--drafter", "head"], "a head drafts from the expert's hidden states"),
    "no such kind": (["--expert-api", "ollama"], "--expert-api"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_a_line(name: str, speccas: Run, there: list[str]) -> None:
    flags, words = REFUSED[name]
    given = there[2:] if "--drafter" in flags else there
    done = speccas("run", PROMPT, "-n", "8", *given, *flags, env={"SPECCAS_EXPERT_KEY": KEY})
    assert done.returncode in (2, 7) and words in done.stderr, done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("left_out", "words"), [(0, "--drafter is missing"), (2, "--expert-url is missing"), (4, "--expert-api is missing")]
)
def test_a_flag_that_is_missing(left_out: int, words: str, speccas: Run, there: list[str]) -> None:
    done = speccas("run", PROMPT, *there[:left_out], *there[left_out + 2 :])
    assert done.returncode == 2 and words in done.stderr


def test_a_wrong_key_ends_with_4(speccas: Run, there: list[str]) -> None:
    done = speccas("run", PROMPT, *there, env={"SPECCAS_EXPERT_KEY": "another-secret"})
    assert done.returncode == 4 and "SPECCAS_EXPERT_KEY" in done.stderr and "another-secret" not in done.stderr


@pytest.mark.slow
def test_a_server_that_goes_leaves_what_was_written(speccas: Run, there: list[str], server: ExpertServer) -> None:
    env = {"SPECCAS_EXPERT_KEY": KEY}
    whole = speccas("run", PROMPT, "-n", "30", "-k", "2", *there, env=env).stdout
    probe = 7  # requests of the probe, the prompt and the measurement, and some rounds
    server.faults.extend([*[Fault()] * (probe + 6), *[Fault(drop=True)] * 5])
    done = speccas("run", PROMPT, "-n", "30", "-k", "2", *there, env=env)
    assert done.returncode == 3 and "does not answer" in done.stderr and "Traceback" not in done.stderr
    assert done.stdout.strip() and whole.startswith(done.stdout.strip()) and len(done.stdout) < len(whole)


@pytest.mark.slow
def test_the_doctor_tells_what_it_found(speccas: Run, there: list[str]) -> None:
    env = {"SPECCAS_EXPERT_KEY": KEY}
    done = speccas("doctor", *there, env=env)
    assert done.returncode == 0
    assert "tiny-expert on sglang at" in done.stdout and "pays up to a trip of" in done.stdout
    found = json.loads(speccas("doctor", *there, "--json", env=env).stdout)["server"]
    assert found["sent"] == 20 and found["cached_tokens"] > 0 and found["elsewhere"]["trip_each_token"] is False


@pytest.mark.slow
def test_a_chat_goes_on_when_the_server_is_back(start: Start, there: list[str], server: ExpertServer) -> None:
    settings = ["-n", "12", "--temperature", "0", "--seed", "3", "--view", "off"]
    talk = start(*settings, *there, env={"SPECCAS_EXPERT_KEY": KEY, "NO_COLOR": "1"})
    assert "tokens/s" in talk.say("What is a harbour?")
    server.faults.extend([Fault(), *[Fault(drop=True)] * 50])
    lost = " ".join(talk.say("And a pier?").split())
    assert re.search("error: the expert's server at .* does not answer", lost), lost
    server.faults.clear()
    assert "tokens/s" in talk.say("And a lighthouse?")
    talk.say("/set temperature 0.5")
    assert "tokens/s" in talk.say("And a quay?")
    assert "error: typical cannot run with this expert" in talk.say("/rule typical")
    assert talk.leave() == 0


@pytest.mark.slow
def test_ctrl_c_ends_a_wait_in_a_run(
    script: str, clean: dict[str, str], there: list[str], server: ExpertServer
) -> None:
    """The server answers in an hour."""
    env = {**clean, "SPECCAS_EXPERT_KEY": KEY}
    reached = threading.Event()

    def hang(found: object) -> object:
        reached.set()
        return found

    server.faults.extend([*[Fault()] * 9, Fault(delay=3600.0, mangle=hang)])
    child = pexpect.spawn(script, ["run", PROMPT, "-n", "60", "-k", "1", *there], env=env, encoding="utf-8", timeout=60)
    assert reached.wait(60)
    child.sendcontrol("c")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


@pytest.mark.slow
def test_bench_and_serve_take_it(
    speccas: Run, script: str, clean: dict[str, str], there: list[str], tmp_path: Path
) -> None:
    env = {"SPECCAS_EXPERT_KEY": KEY}
    report = str(tmp_path / "report")
    flags = ["--limit", "2", "--repeats", "1", "-n", "8", "--rule", "token", "-k", "2", "--report", report]
    done = speccas("bench", *flags, *there, env=env)
    assert done.returncode == 0, done.stderr
    assert KEY not in "".join(path.read_text(errors="replace") for path in Path(report).iterdir() if path.is_file())
    child = pexpect.spawn(
        script, ["serve", "--port", "0", *there], env={**clean, **env, "NO_COLOR": "1"}, encoding="utf-8", timeout=60
    )
    child.expect(r"(http://127.0.0.1:\d+)")
    url = child.match.group(1)
    message = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 8}
    answer = httpx.post(f"{url}/v1/chat/completions", json={**message, "temperature": 0.7}, timeout=60)
    assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"], answer.text
    refused = httpx.post(f"{url}/v1/chat/completions", json={**message, "temperature": 0.7, "top_k": 500}, timeout=60)
    assert refused.status_code == 400 and "top-k 500 is more" in refused.text
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()


def test_what_is_chosen_for_a_server() -> None:
    def chosen(settings: Settings) -> tuple[str, int]:
        found = for_server(settings)
        assert all(value == SERVER for name, value in found.sources.items() if name not in settings.sources)
        return found.test, found.top_k

    assert chosen(Settings(temperature=1.0)) == ("token", 0)
    assert chosen(Settings(temperature=0.7, min_p=0.05)) == ("token", 20)
    assert chosen(Settings(temperature=1.0, top_p=0.9)) == ("token", 20)
    assert chosen(Settings(temperature=0.7, top_k=5, sources={"top_k": "flag"})) == ("token", 5)
    assert chosen(Settings(temperature=0.7, test="coupled", top_k=0, sources={"test": "flag", "top_k": "flag"})) == (
        "coupled",
        0,
    )
