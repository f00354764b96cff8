"""The command line: `python -m core patch`, `verify` or `models`."""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

from core import models
from core.checks import bench, verify
from core.engine import work
from core.errors import UserError
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.study import Study
from core.views import exports
from core.views.terminal import bench_table, check_line, model_table, report
from mingpt.hub import Progress


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, or 2 with one line on standard error for a mistake."""
    work.choose_threads()
    try:
        options = _parser().parse_args(arguments)
        return options.run(options)
    except UserError as error:
        print(f"patchboard: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    """argparse prints its usage before an error; a mistake here is one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m core", description="Activation patching on GPT-2.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    patch = commands.add_parser(
        "patch",
        help="sweep one text pair and print the next-token tables and the grid",
        description="Patch every layer and position of one text pair and print the grid.",
    )
    patch.set_defaults(run=_patch)
    patch.add_argument("--clean", required=True, metavar="TEXT")
    patch.add_argument("--corrupted", required=True, metavar="TEXT")
    patch.add_argument("--target", required=True, metavar="TOKEN", help='e.g. " Jones"')
    patch.add_argument("--foil", required=True, metavar="TOKEN", help='e.g. " Smith"')
    patch.add_argument("--metric", default="logit_diff", help=", ".join(METRICS))
    patch.add_argument("--direction", default="denoise", help=", ".join(DIRECTIONS))
    patch.add_argument("--site", default="resid_post", help=", ".join(SITES))
    patch.add_argument(
        "--window", type=int, default=0, help="patch so many layers more on either side"
    )
    patch.add_argument("--bos", action="store_true", help="begin both texts with <|endoftext|>")
    patch.add_argument("--embedding", action="store_true", help="also patch the input of block 0")
    patch.add_argument("--dtype", help="float32 (default); bfloat16 or float16 for half the memory")
    patch.add_argument("--json", metavar="FILE", help="everything; - for standard output alone")
    patch.add_argument("--csv", metavar="FILE", help="the grid under every metric")
    patch.add_argument("--png", metavar="FILE", help="the heatmap")

    checks = commands.add_parser(
        "verify",
        help="check a model's numbers against plain runs and published ones",
        description="Check patching on a model against plain runs and against published numbers.",
    )
    checks.set_defaults(run=_verify)
    for command in (patch, checks):
        command.add_argument(
            "--model", default="teaching", help="teaching (default), gpt2 ... gpt2-xl, or a folder"
        )
        command.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")

    timing = commands.add_parser(
        "bench",
        help="measure the sweep's speed and memory on this machine",
        description="Measure sweeps of random texts against plain runs and bare matrix products.",
    )
    timing.set_defaults(run=_bench)
    timing.add_argument("--model", default="teaching", help="teaching (default), gpt2, a folder")
    timing.add_argument("--random", metavar="SIZE", help="random weights of a size, e.g. gpt2")
    timing.add_argument("--tokens", type=int, default=11)
    timing.add_argument("--site", default="resid_post", choices=SITES, metavar="SITE")
    timing.add_argument("--budget", type=float, default=20.0, help="seconds to spend")
    timing.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    timing.add_argument("--json", metavar="FILE", help="the numbers; - for standard output alone")

    listing = commands.add_parser("models", help="list the models and what is on this machine")
    listing.set_defaults(run=_models)
    return parser


def _load(options: argparse.Namespace, dtype: str | None = "float32") -> models.LoadedModel:
    return models.load(models.find(options.model), options.device, _draw_download, dtype)


def _patch(options: argparse.Namespace) -> int:
    names = {field.name for field in fields(Experiment)}
    experiment = Experiment(**{key: v for key, v in vars(options).items() if key in names})
    # What cannot be written shows before the sweep.
    if options.png and len(SITES[experiment.site].axes) > 2:
        raise UserError(f"a PNG has two axes and {options.site} has three; use --csv or --json.")
    for path in {options.csv, options.png, options.json} - {None, "-"}:
        _check_place(path)
    study = Study(experiment, _load(options, options.dtype))
    study.read(experiment, metrics=())  # a metric that cannot be measured shows before the sweep
    _with_progress(study)
    result = study.read(experiment)
    if options.csv:
        _write(options.csv, exports.grid_csv(result).encode())
    if options.png:
        from core.views.pictures import (
            picture,  # only here: matplotlib takes half a second to import
        )

        _write(options.png, picture(result, "png"))
    if options.json == "-":
        print(exports.to_json(result))
        return 0
    if options.json:
        _write(options.json, exports.to_json(result).encode())
    print(report(result))
    return 0


def _verify(options: argparse.Namespace) -> int:
    """Exit status 1 if a check failed."""
    failed = 0
    for check in verify.checks(_load(options)):
        print(check_line(check), flush=True)
        failed += not (check.passed or check.skipped)
    print(f"\n{failed} failed." if failed else "\nNothing failed.")
    return 1 if failed else 0


def _bench(options: argparse.Namespace) -> int:
    if options.random:
        gpt = models.place(bench.random_model(options.random), options.device)
    else:
        gpt = _load(options).gpt
    numbers = {"model": options.random or options.model}
    numbers |= bench.measure(gpt, options.tokens, options.site, options.budget)
    if options.json and options.json != "-":
        _write(options.json, json.dumps(numbers, indent=1).encode())
    print(json.dumps(numbers, indent=1) if options.json == "-" else bench_table(numbers))
    return 0


def _models(options: argparse.Namespace) -> int:
    print(model_table(models.catalogue().values()))
    return 0


def _with_progress(fractions: Iterable[float]) -> None:
    """Exhaust `fractions`, drawing a bar once the work has taken a second."""
    started = time.perf_counter()
    for fraction in fractions:
        elapsed = time.perf_counter() - started
        if elapsed > 1 and fraction > 0:
            _draw_bar(fraction, f"{elapsed / fraction - elapsed:.0f} s left")


def _draw_download(progress: Progress) -> None:
    left = "waiting" if progress.seconds_left is None else f"{progress.seconds_left:.0f} s left"
    _draw_bar(
        progress.done / progress.total,
        f"{progress.done / 1e6:,.0f} of {progress.total / 1e6:,.0f} MB,"
        f" {progress.rate / 1e6:.1f} MB/s, {left}",
    )


def _draw_bar(fraction: float, text: str, width: int = 30) -> None:
    """Draw over the line before, on a terminal only; a full bar wipes it."""
    if sys.stderr.isatty():
        bar = ("█" * round(fraction * width)).ljust(width, "·")
        line = f"{bar} {fraction:4.0%}, {text}" if fraction < 1 else ""
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _check_place(path: str) -> None:
    folder = Path(path).absolute().parent
    if Path(path).is_dir():
        raise UserError(f"cannot write {path}: it is a folder.")
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {folder}.")


def _write(path: str, content: bytes) -> None:
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from error


if __name__ == "__main__":
    sys.exit(main())
