"""Files of a pair for a CPU and for a GPU: which is taken, what is told, and what is here stays in use."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from speccas.cli.commands.pull import pull
from speccas.cli.commands.rm import rm
from speccas.cli.commands.show import show
from speccas.core.errors import UsageError
from speccas.core.files import fitted
from speccas.core.files.local import locate
from speccas.core.files.profiles import find_profile, named
from speccas.core.files.source import Source
from speccas.core.inventory.pairs import list_of_pairs
from speccas.core.machine import memory, processor
from tests.builders.models import TINY
from tests.hub_server import Hub

REPO = "owner/model-GGUF"
PROFILE = f"""\
name: both
drafter: {{hf: {REPO}, quant: Q8_0}}
expert:
  hf: {REPO}
  cpu: {{quant: Q4_0}}
  gpu: {{quant: Q4_K_M, bytes: 7}}
"""
Machine = Callable[[str], None]


@pytest.fixture
def machine(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A hub with three files of one model, a profile that names two for its expert, and a machine of either kind."""
    data = TINY.read_bytes()
    hub.add(REPO, {f"m-{quant}.gguf": data + bytes([place]) for place, quant in enumerate(("Q4_0", "Q4_K_M", "Q8_0"))})
    folder = tmp_path / "config/speccas/pairs"
    folder.mkdir(parents=True)
    (folder / "both.yaml").write_text(PROFILE)
    return lambda kind: monkeypatch.setattr(fitted, "processor", lambda: kind)


def get(for_: str | None = None, quiet: bool = False) -> None:
    pull("both", dry_run=False, update=False, for_=for_, quiet=quiet)


def listed() -> dict[str, object]:
    (pair,) = (each for each in list_of_pairs(lambda _: None).as_json()["pairs"] if each["name"] == "both")
    return dict(pair["expert"])


def test_the_old_form_and_the_new_say_the_same_where_there_is_no_choice(machine: Machine) -> None:
    machine("gpu")
    pair = find_profile("both")
    assert pair.drafter == Source(hf=REPO, quant="Q8_0") and set(pair.fitted) == {"expert"}
    assert pair.expert == Source(hf=REPO, quant="Q4_K_M", bytes=7)
    assert pair.sources("expert") == (pair.expert, Source(hf=REPO, quant="Q4_0"))
    assert pair.sources("drafter") == (pair.drafter,)


def test_what_one_processor_has_of_its_own_leaves_the_rest_as_it_is(machine: Machine, tmp_path: Path) -> None:
    """Base keys are the file of the processor that is not named; a hash never passes to another file."""
    sha = "ab" * 32
    text = f"name: one\ndrafter: {{path: d}}\nexpert: {{hf: o/r, revision: v1, quant: Q4_K_M, sha256: {sha}, bytes: 5, "
    (tmp_path / "config/speccas/pairs/one.yaml").write_text(text + "cpu: {hf: o/cpu, file: e.gguf}}\n")
    machine("cpu")
    assert find_profile("one").expert == Source(hf="o/cpu", file="e.gguf", revision="v1")
    machine("gpu")
    assert find_profile("one").expert == Source(hf="o/r", quant="Q4_K_M", revision="v1", sha256=sha, bytes=5)


@pytest.mark.parametrize(("kind", "quant", "told"), [
    ("cpu", "Q4_0", "expert: Q4_0 for a CPU (for a GPU: Q4_K_M)"),
    ("gpu", "Q4_K_M", "expert: Q4_K_M for a GPU (for a CPU: Q4_0)"),
])  # fmt: skip
def test_the_one_that_fits_is_pulled_and_told(
    machine: Machine, capsys: pytest.CaptureFixture[str], kind: str, quant: str, told: str
) -> None:
    machine(kind)
    get()
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == told
    drafter, expert = map(Path, out.split())
    assert (drafter.name, expert.name) == ("m-Q8_0.gguf", f"m-{quant}.gguf")
    assert locate(find_profile("both").expert) == expert
    assert (listed()["state"], listed()["processor"]) == ("have", kind)
    show("both", None, True)
    assert json.loads(capsys.readouterr().out)["models"]["expert"]["fitted"] == told.removeprefix("expert: ")
    get(quiet=True)
    assert capsys.readouterr().err == ""


def test_what_is_here_wins_over_what_fits_until_the_other_is_pulled(
    machine: Machine, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("cpu")
    get()
    machine("gpu")  # somebody put one in
    asked = hub.bytes_served
    capsys.readouterr()
    get()
    out, err = capsys.readouterr()
    assert out.split()[1].endswith("m-Q4_0.gguf") and hub.bytes_served == asked
    assert "it is here already, and models run on a GPU here: `speccas pull both --for gpu` fetches the other" in err
    assert named("both")[1]["expert"].quant == "Q4_0" == find_profile("both").expert.quant
    get("gpu")
    assert capsys.readouterr().out.split()[1].endswith("m-Q4_K_M.gguf")
    assert find_profile("both").expert.quant == "Q4_K_M", "both are here: the one that fits"
    machine("cpu")
    assert find_profile("both").expert.quant == "Q4_0"


def test_rm_deletes_the_files_for_both_processors(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("cpu")
    get()
    get("gpu")
    capsys.readouterr()
    rm("both")
    assert capsys.readouterr().out.count("deleted") == 3
    assert not list((tmp_path / "hf").rglob("*.gguf"))


@pytest.mark.parametrize(("name", "wanted", "said"), [
    ("both", "tpu", "is no processor"), (f"hf:{REPO}:Q4_0", "cpu", "goes with a pair"),
])  # fmt: skip
def test_a_processor_that_is_none_is_one_line(machine: Machine, name: str, wanted: str, said: str) -> None:
    machine("cpu")
    with pytest.raises(UsageError, match=said) as refused:
        pull(name, dry_run=False, update=False, for_=wanted, quiet=False)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("seen", "built", "found"),
    [
        ([], [], "cpu"),
        (["cuda"], [], "cpu"),  # llama.cpp was built for none
        ([], ["libggml-cuda.so"], "cpu"),  # and the other way round
        (["cuda"], ["libggml-cuda.so.0"], "gpu"),
        (["metal"], ["libggml-metal.dylib"], "gpu"),
        ([], ["libggml-vulkan.so"], "gpu"),
    ],
)
def test_the_processor_is_told_from_the_system_and_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[str], built: list[str], found: str
) -> None:
    folder = tmp_path / "llama_cpp/lib"
    folder.mkdir(parents=True)
    (tmp_path / "llama_cpp/__init__.py").write_text("")
    for name in ("libggml-cpu.so", *built):
        (folder / name).write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "llama_cpp", raising=False)
    monkeypatch.setattr(memory, "gpus", lambda: seen)
    assert processor.processor() == found
