"""The recipe's three steps, one at a time and over several processes: `python -m speccas.core.distill STEP`."""

import argparse
import itertools
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import SpeccasError, Unavailable, UsageError
from ..files.local import locate
from ..files.profiles import find_profile
from .head_train import HeadSettings, train_head
from .run import RunSettings
from .train import TrainSettings, train

Settings = TypeVar("Settings", bound=RunSettings)

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
    settings = DataSettings(options.texts, options.length, options.seed, not options.float32, options.states)
    write_waves(_expert(options), options.work / "data", settings, numbers, options.device, _say)


def _layers(text: str) -> tuple[int, ...]:
    return tuple(int(layer) for layer in text.split(",") if layer)


def _settings(kind: type[Settings], options: argparse.Namespace) -> Settings:
    """Those that were given; the others are as this kind has them."""
    names = [each.name for each in fields(kind) if hasattr(options, each.name)]
    return kind(**{name: getattr(options, name) for name in names})


def _train(options: argparse.Namespace) -> None:
    from .steps import Span

    span = Span(options.steps, options.stop or options.steps, options.every)
    expert, data, folder = _expert(options), options.work / "data", options.work / options.run_name
    part, device = _part(options), options.device
    if options.kind == "head":
        train_head(expert, data, folder, _settings(HeadSettings, options), span, part, device, _say)
    else:
        model = _settings(TrainSettings, options)
        train(expert, data, folder, model, span, part, options.quantised, device, _say)


def _export(options: argparse.Namespace) -> None:
    from ..files.local import hash_file
    from .export import Types, export
    from .head_export import export_head

    types = Types(options.matrices, options.embedding)
    expert, run, out = _expert(options), options.work / options.run_name, options.out
    if options.kind == "head":
        data, most = options.work / "data", options.commonest
        _say(export_head(expert, data, run, out, types, options.checkpoint, most))
    else:
        _say(export(expert, run, out, types, options.checkpoint))
    _say(f"sha256: {hash_file(out)}")


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
    data.add_argument(
        "--states", type=_layers, default=(), metavar="LAYERS", help="also keep what goes into these: a head reads it"
    )
    data.add_argument("--float32", action="store_true", help="compute in float32 (bfloat16)")
    data.set_defaults(run=_data)

    _add_train(steps.add_parser("train", parents=[common], help="the drafter learns from them"))

    export = steps.add_parser("export", parents=[common], help="a GGUF file of the best weights")
    export.add_argument("--name", dest="run_name", default="run", help="folder of the run in WORK (%(default)s)")
    export.add_argument("--out", type=Path, default=Path("tiny-drafter.gguf"), help="(%(default)s)")
    export.add_argument("--matrices", choices=("F32", "F16", "Q4_0", "Q8_0"), default="Q4_0", help="(%(default)s)")
    export.add_argument("--embedding", choices=("F32", "F16", "Q4_0", "Q8_0"), default="Q8_0", help="(%(default)s)")
    export.add_argument(
        "--commonest", type=int, default=0, metavar="N", help="of a head: its N commonest tokens only (all)"
    )
    export.add_argument("--checkpoint", choices=("best", "last"), default="best", help="(%(default)s)")
    export.set_defaults(run=_export)
    return parser


def _add_train(train: argparse.ArgumentParser) -> None:
    def setting(option: str, about: str, **more: Any) -> None:
        """What only stands in the options where it was given."""
        name = option[2:].replace("-", "_")
        usual = [str(getattr(kind, name)).strip("()") for kind in (TrainSettings, HeadSettings) if hasattr(kind, name)]
        told = ", of a head ".join(dict.fromkeys(usual))
        train.add_argument(option, default=argparse.SUPPRESS, help=f"{about} ({told})" if told else about, **more)

    train.add_argument("--name", dest="run_name", default="run", help="folder of this run in WORK (%(default)s)")
    setting("--layers", "layers of the expert to start from", type=_layers, metavar="LAYERS")
    setting("--start", "go on from this drafter, adding --layers to it", metavar="FILE")
    setting("--vocabulary", "tokens to keep", type=int)
    setting("--batch", "conversations a step", type=int)
    setting("--rate", "of AdamW", type=float)
    setting("--muon-rate", "of Muon", type=float)
    setting("--greedy", "share of the expert's likeliest token in what is learnt", type=float)
    setting("--depth", "steps of a draft that a head learns", type=int)
    setting("--waves", "learn from the first N files only, 0: from all", type=int)
    train.add_argument("--steps", type=int, default=1000, help="(%(default)s)")
    train.add_argument("--stop", type=int, default=0, metavar="STEP", help="leave off there; the same command goes on")
    train.add_argument("--every", type=int, default=50, help="steps between scores and checkpoints (%(default)s)")
    train.add_argument("--quantised", action="store_true", help="learn with weights rounded as Q4_0 rounds them")
    train.add_argument(
        "--float32", dest="bfloat16", action="store_false", default=argparse.SUPPRESS,
        help="compute in float32 (bfloat16)",
    )  # fmt: skip
    train.set_defaults(run=_train)


if __name__ == "__main__":
    sys.exit(main())
