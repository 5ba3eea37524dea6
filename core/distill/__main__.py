"""The recipe's three steps, one at a time and over several processes: `python -m speccas.core.distill STEP`."""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import SpeccasError, Unavailable, UsageError
from ..files.local import locate
from ..files.profiles import find_profile

TORCH = Unavailable("this step needs torch", "install speccas with its extra distill: see docs/install.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of a step."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except SpeccasError as error:
        return _fail(error)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return _fail(TORCH)
    except KeyboardInterrupt:
        return 130
    return 0


def _fail(error: SpeccasError) -> int:
    print(f"error: {error.message}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr)
    return error.exit_code


def _say(line: str) -> None:
    print(line, flush=True)


def _expert(options: argparse.Namespace) -> Path:
    return Path(options.expert) if options.expert else locate(find_profile("tiny").expert)


def _part(options: argparse.Namespace) -> tuple[int, int]:
    number, _, count = options.part.partition("/")
    if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
        raise UsageError(f"--part {options.part} is no part", "0/2 and 1/2 are the two of two processes")
    return int(number), int(count)


def _data(options: argparse.Namespace) -> None:
    from .data import DataSettings, write_waves

    part, parts = _part(options)
    numbers = itertools.islice(range(options.waves), part, None, parts)
    states = tuple(int(layer) for layer in options.states.split(",") if layer)
    settings = DataSettings(options.texts, options.length, options.seed, not options.float32, states)
    write_waves(_expert(options), options.work / "data", settings, numbers, options.device, _say)


def _train_head(options: argparse.Namespace) -> None:
    from .head_train import HeadSettings, train_head
    from .steps import Span

    settings = HeadSettings(
        options.vocabulary, options.depth, options.batch, options.rate, options.muon_rate, options.waves, options.seed,
        not options.float32, options.greedy,
    )  # fmt: skip
    span = Span(options.steps, options.stop or options.steps, options.every)
    folder = options.work / options.run_name
    train_head(_expert(options), options.work / "data", folder, settings, span, _part(options), options.device, _say)


def _train(options: argparse.Namespace) -> None:
    if options.kind == "head":
        return _train_head(options)
    from .steps import Span
    from .train import TrainSettings, train

    settings = TrainSettings(
        tuple(int(layer) for layer in options.layers.split(",") if layer),
        options.vocabulary,
        options.batch,
        options.rate,
        options.muon_rate,
        options.waves,
        options.seed,
        not options.float32,
        options.start,
        options.greedy,
    )
    span = Span(options.steps, options.stop or options.steps, options.every)
    folder = options.work / options.run_name
    train(
        _expert(options), options.work / "data", folder, settings, span, _part(options), options.quantised,
        options.device, _say,
    )  # fmt: skip


def _export(options: argparse.Namespace) -> None:
    from ..files.local import hash_file
    from .export import Types, export

    types = Types(options.matrices, options.embedding)
    if options.kind == "head":
        from .head_export import export_head

        run = options.work / options.run_name
        _say(export_head(_expert(options), options.work / "data", run, options.out, types, options.checkpoint))
        _say(f"sha256: {hash_file(options.out)}")
        return
    for line in export(_expert(options), options.work / options.run_name, options.out, types, options.checkpoint):
        _say(line)
    _say(f"sha256: {hash_file(options.out)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m speccas.core.distill", description="The recipe of the tiny drafter.")
    steps = parser.add_subparsers(required=True, metavar="STEP")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--work", type=Path, default=Path("distill"), help="folder of all that is made (%(default)s)")
    common.add_argument("--expert", help="GGUF file of the expert (that of the pair tiny)")
    common.add_argument("--device", default="cpu", help="cpu, cuda or mps (%(default)s)")
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--part", default="0/1", metavar="I/N", help="this is process I of N that share the work")
    common.add_argument("--kind", choices=("model", "head"), default="model", help="what is made (%(default)s)")
    common.add_argument("--label", help="ignored: a word to find the process by")

    data = steps.add_parser("data", parents=[common], help="the expert writes conversations")
    data.add_argument("--waves", type=int, default=64, help="files to write (%(default)s)")
    data.add_argument("--texts", type=int, default=192, help="conversations a file (%(default)s)")
    data.add_argument("--length", type=int, default=256, help="tokens a conversation (%(default)s)")
    data.add_argument("--states", default="", metavar="LAYERS", help="also keep what goes into these: a head reads it")
    data.add_argument("--float32", action="store_true", help="compute in float32 (bfloat16)")
    data.set_defaults(run=_data)

    train = steps.add_parser("train", parents=[common], help="the drafter learns from them")
    train.add_argument("--name", dest="run_name", default="run", help="folder of this run in WORK (%(default)s)")
    train.add_argument("--layers", default="0,1,2,3,28,29", help="layers of the expert to start from (%(default)s)")
    train.add_argument("--start", default="", metavar="FILE", help="go on from this drafter, adding --layers to it")
    train.add_argument("--vocabulary", type=int, default=12288, help="tokens to keep (%(default)s)")
    train.add_argument("--batch", type=int, default=32, help="conversations a step (%(default)s)")
    train.add_argument("--steps", type=int, default=1000, help="(%(default)s)")
    train.add_argument("--stop", type=int, default=0, metavar="STEP", help="leave off there; the same command goes on")
    train.add_argument("--every", type=int, default=50, help="steps between scores and checkpoints (%(default)s)")
    train.add_argument("--rate", type=float, default=6e-4, help="of AdamW (%(default)s)")
    train.add_argument("--muon-rate", type=float, default=2e-3, help="of Muon (%(default)s)")
    train.add_argument(
        "--greedy", type=float, default=0.0, help="share of the expert's likeliest token in what is learnt"
    )
    train.add_argument("--depth", type=int, default=3, help="steps of a draft that a head learns (%(default)s)")
    train.add_argument("--waves", type=int, default=0, help="learn from the first N files only (0: all)")
    train.add_argument("--quantised", action="store_true", help="learn with weights rounded as Q4_0 rounds them")
    train.add_argument("--float32", action="store_true", help="compute in float32 (bfloat16)")
    train.set_defaults(run=_train)

    export = steps.add_parser("export", parents=[common], help="a GGUF file of the best weights")
    export.add_argument("--name", dest="run_name", default="run", help="folder of the run in WORK (%(default)s)")
    export.add_argument("--out", type=Path, default=Path("tiny-drafter.gguf"), help="(%(default)s)")
    export.add_argument("--matrices", choices=("F32", "F16", "Q4_0", "Q8_0"), default="Q4_0", help="(%(default)s)")
    export.add_argument("--embedding", choices=("F32", "F16", "Q4_0", "Q8_0"), default="Q8_0", help="(%(default)s)")
    export.add_argument("--checkpoint", choices=("best", "last"), default="best", help="(%(default)s)")
    export.set_defaults(run=_export)
    return parser


if __name__ == "__main__":
    sys.exit(main())
