"""The memory estimate: against what processes really took, and at its edges."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from speccas.cli.settings import Settings, resolve
from speccas.core.errors import DoesNotFit, Unavailable
from speccas.core.files.local import locate
from speccas.core.files.profiles import find_profile
from speccas.core.headers.gguf import read_header
from speccas.core.machine.fit import Footprint, Room, estimate, largest_context, need, require_fit
from tests.builders.models import QWEN_DRAFTER, QWEN_EXPERT, TINY

QWEN = [str(QWEN_DRAFTER), str(QWEN_EXPERT)]

# Loads a pair, reads a prompt, judges a draft of 16, and prints what it took beside the estimate.
PROGRAM = """
import sys
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.machine.fit import estimate
from speccas.core.machine.memory import resident
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.backends import backend_of
from speccas.core.runtime.pair import load_pair
from speccas.core.runtime.room import differing, footprints
from tests.builders.loaded import asked, prefill
drafter, expert, ctx = sys.argv[1:]
profile = Profile("made", Source(path=drafter), Source(path=expert))
options = LoadOptions(threads=1, ctx=int(ctx))
with load_pair(profile, options) as pair:
    prompt = asked(pair, "Name three colours. " * 40)
    prefill(pair, prompt)
    pair.expert.extend(prompt.ids[:17], rows=17)
    pair.second_model.model.extend(prompt.ids[:1], rows=1)
    files = {role: (backend_of(profile.expert), file) for role, file in pair.files.items()}
    found = estimate(footprints(files, pair.vocabulary, options), pair.context, differing(pair.vocabulary))
    print(resident(), found.total)
"""


def pairs() -> dict[str, Sequence[str]]:
    try:
        smol = str(locate(find_profile("tiny").expert))
    except Unavailable:
        return {}
    found: dict[str, Sequence[str]] = {"tiny": (str(TINY), smol), "smol": (smol, smol)}
    return found | ({"qwen": QWEN} if all(Path(path).is_file() for path in QWEN) else {})


@pytest.mark.slow
@pytest.mark.parametrize("context", [2048, 8192])
@pytest.mark.parametrize("name", ["tiny", "smol", "qwen"])
def test_within_15_percent_of_what_a_process_took(name: str, context: int) -> None:
    if name not in pairs():
        pytest.skip(f"no files of {name} on this machine")
    words = [sys.executable, "-c", PROGRAM, *pairs()[name], str(context)]
    found = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    took, estimated = map(int, found.stdout.split())
    assert estimated == pytest.approx(took, rel=0.1)  # 15 % is promised; without its smaller parts it is 13 % off


MODEL = Footprint(read_header(TINY), TINY.stat().st_size, rows=17, chunk=128)


def test_the_parts_of_an_estimate() -> None:
    found = need(MODEL, 1024)
    header = MODEL.header
    assert found.weights == MODEL.file_bytes - header.data_offset
    assert found.cache == 1024 * 4 * 3 * (64 + 64) * 2  # layers, heads in the cache, key and value, F16
    assert need(MODEL, 1025).cache == need(MODEL, 1280).cache  # llama.cpp rounds up
    assert need(replace(MODEL, stretch=1.5), 1024).cache == 1.5 * found.cache
    assert found.gpu == 0
    assert need(replace(MODEL, gpu_layers=2), 1024).gpu == (found.weights + found.cache + found.compute) // 2
    assert need(replace(MODEL, gpu_layers=-1), 1024).gpu == found.weights + found.cache + found.compute


def test_repacked_tensors_of_a_mapped_file_count_twice() -> None:
    plain = need(replace(MODEL, mapped=True), 1024).weights
    assert plain == MODEL.file_bytes
    twice = need(replace(MODEL, mapped=True, repacked=frozenset({"Q8_0"})), 1024).weights
    packed = sum(tensor.bytes or 0 for tensor in MODEL.header.tensors if tensor.type_name == "Q8_0")
    assert packed > 0 and twice == plain + packed
    assert need(replace(MODEL, repacked=frozenset({"Q8_0"})), 1024).weights < plain


def test_the_largest_context_fits_and_the_next_does_not() -> None:
    models = (MODEL, MODEL)
    room = Room(estimate(models, 5000).total)
    largest = largest_context(models, room, 8192)
    assert 0 < largest < 5000 and largest % 256 == 0
    assert estimate(models, largest).fits(room) and not estimate(models, largest + 256).fits(room)
    assert largest_context(models, Room(1 << 40), 8000) == 8000
    assert largest_context(models, Room(1 << 20), 8000) == 0
    with pytest.raises(DoesNotFit, match="5000 tokens") as raised:
        require_fit(models, 5000, room)
    assert raised.value.facts["context"] == largest
    with pytest.raises(DoesNotFit, match="too little"):
        require_fit(models, 5000, Room(1 << 20))


def test_a_gpu_has_room_of_its_own() -> None:
    models = (replace(MODEL, gpu_layers=-1),)
    whole = estimate(models, 4096)
    assert whole.fits(Room(int(1.06 * (whole.total - whole.gpu)), int(1.06 * whole.gpu)))
    assert not whole.fits(Room(1 << 40, whole.gpu // 2))
    with pytest.raises(DoesNotFit, match="the GPU has"):
        require_fit(models, 4096, Room(1 << 40, whole.gpu // 2))


def test_an_expert_on_workers_counts_there() -> None:
    here, there = need(MODEL, 4096), need(replace(MODEL, elsewhere=True, gpu_layers=-1), 4096)
    assert there.away == there.weights + there.cache + there.compute and there.gpu == 0
    assert there.total - there.away == there.tables > here.tables, "another process, and the table of tokens"
    half = need(replace(MODEL, elsewhere=True, gpu_layers=2), 4096)
    assert half.away == there.away // 2, "of four layers"
    kept = need(replace(MODEL, elsewhere=True, gpu_layers=-1, output_here=True), 4096)
    table = next(tensor.bytes or 0 for tensor in MODEL.header.tensors if tensor.name == "token_embd.weight")
    assert there.away - kept.away == table == kept.tables - there.tables, "its output is its table of tokens"
    models = (MODEL, replace(MODEL, elsewhere=True, gpu_layers=-1))
    whole = estimate(models, 4096)
    assert whole.fits(Room(int(1.06 * (whole.total - whole.away)), workers=int(1.06 * whole.away)))
    assert whole.fits(Room(int(1.06 * (whole.total - whole.away)))), "nobody asked the workers"
    with pytest.raises(DoesNotFit, match=r"the workers have 0\.0\d GB") as raised:
        require_fit(models, 4096, Room(1 << 40, workers=whole.away // 2))
    assert raised.value.facts["context"] < 4096


def test_auto_is_a_context() -> None:
    assert resolve({"ctx": "auto"}, {}, {}, {}, {}, {}).ctx == 0
    assert resolve({}, {"SPECCAS_CTX": "512"}, {}, {}, {}, {}).ctx == 512
    assert Settings().ctx is None
