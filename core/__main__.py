"""The command line: `python -m core patch`, `many`, `paths`, `set`, `check` and others."""

import argparse
import json
import math
import os
import re
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from reprlib import repr as brief  # a person may type thousands of digits
from typing import NoReturn

if __name__ == "__main__":  # Ctrl-C; a KeyboardInterrupt gets lost while torch is being imported
    _LAST_LINE = b"\r\x1b[K" * os.isatty(2) + b"patchboard: stopped.\n"
    signal.signal(signal.SIGINT, lambda *_: (os.write(2, _LAST_LINE), os._exit(130)))

from core import models, output
from core.checks import bench, verify
from core.continuing import Continue
from core.engine import work
from core.errors import UserError
from core.following import Follow
from core.many import cli as many_pairs
from core.many.answer import Answer
from core.many.grading import Grading
from core.many.pairs import counted
from core.question.experiment import OF_ONE, Experiment
from core.question.metrics import METRICS
from core.question.sampling import Sampling
from core.question.sites import SITES
from core.result import ENOUGH, FROZEN, ORDERS
from core.sets import Sets
from core.steps import Outcome, Steps
from core.study import Study
from core.views import code, continued, exports, many_files
from core.views.colour_bar import VIEWS
from core.views.terminal import report, report_many, report_many_set, report_paths, report_set
from core.views.words import duration
from core.worksheets import cli as worksheets
from mingpt.hub import Progress

# What can be written, and the suffix that its file has by custom.
_PICTURES = ("png", "svg", "pdf")
_SUFFIXES = {"csv": ".csv", "matrix": ".csv", "png": ".png", "svg": ".svg", "pdf": ".pdf"}
_SUFFIXES |= {"json": ".json"}
_OF_PAIR = (
    *(("clean", "TEXT", None), ("corrupted", "TEXT", None)),
    *(("target", "TOKEN", 'e.g. " Jones"'), ("foil", "TOKEN", 'e.g. " Smith"')),
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command. The exit status is 0; 1 if a check failed or none was run; 2 for a mistake,
    with one line on standard error; 130 after Ctrl-C; 141 if nobody reads on what is printed."""
    output.prepare_streams()
    try:
        try:
            work.choose_threads()
            given = sys.argv[1:] if arguments is None else arguments
            if given[:2] == many_pairs.MERGE.split():
                given = [many_pairs.MERGE, *given[2:]]
            options = _parser().parse_args(given)
            return options.run(options)
        finally:
            sys.stdout.flush()
    except UserError as error:
        return output.end(2, str(error))
    except BrokenPipeError:
        return output.end(141)
    except OSError as error:
        if error.filename is not None:
            raise
        return output.end(2, f"cannot write to standard output: {error.strerror}.")


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
    _ask_for_pair(patch)
    _ask_for_site(patch)
    patch.add_argument("--json", metavar="FILE", help="everything; - for standard output alone")
    patch.add_argument("--csv", metavar="FILE", help="the grid under every metric; or -")
    patch.add_argument(
        "--matrix", metavar="FILE", help="layers by positions, as numpy.loadtxt reads it; or -"
    )
    for kind in _PICTURES:
        patch.add_argument(f"--{kind}", metavar="FILE", help=f"the map in {kind.upper()}; or -")
    patch.add_argument(
        "--view",
        default="effect",
        choices=VIEWS,
        metavar="VIEW",
        help="of a picture: effect (default: blue towards the run put in, orange away), or"
        " assignment (layers alone, foil - target, one sequential scale)",
    )

    program = commands.add_parser(
        "code",
        help="write a Python file or a notebook that computes the map by itself",
        description="Write the program behind a map: two plain loops, explained, or the fast way.",
    )
    program.set_defaults(run=_code)
    _ask_for_pair(program)
    _ask_for_site(program)
    program.add_argument(
        "--out", default="-", metavar="FILE", help="a .py or an .ipynb file; - (default) prints it"
    )
    program.add_argument("--fast", action="store_true", help="in a few lines, with this library")

    paths = commands.add_parser(
        "paths",
        help="path patching: what every head and MLP sends directly into a receiver",
        description="Patch the direct path of every sender into one receiver and print the map.",
    )
    paths.set_defaults(run=_paths)
    _ask_for_pair(paths)
    paths.add_argument(
        "--to",
        required=True,
        metavar="RECEIVER",
        help="logits; a head's query, key or value as 9.6.q, .k or .v, all three as 9.6; an MLP's"
        " input as mlp3; at one position: 9.6.q@4",
    )
    frozen = "; ".join(f"{name}: {says}" for name, says in FROZEN.items())
    paths.add_argument("--frozen", default="all", choices=FROZEN, help=frozen)
    paths.add_argument("--json", metavar="FILE", help="the map; - for standard output alone")
    paths.add_argument("--csv", metavar="FILE", help="a line for each sender; or -")

    sets = commands.add_parser(
        "set",
        help="how much of the answer a set of components carries, and whether it needs it",
        description="Put a set of components into the other run, all at once, and grade it.",
    )
    sets.set_defaults(run=_set)
    _ask_for_pair(sets, required=False)
    sets.add_argument(
        "--pairs",
        metavar="FILE",
        help="grade the set over the pairs of a file instead: means with intervals",
    )
    many_pairs.add_draw(sets)
    sets.add_argument(
        "--components",
        metavar="SET",
        help='e.g. "9.9 9.6 mlp0 resid3@8 attn2@-1 embedding"; without it, one is searched for:'
        " each time the head or MLP that adds most",
    )
    sets.add_argument("--most", type=_whole, default=20, help="components of a searched set")
    orders = "; ".join(f"{name}: {says}" for name, says in ORDERS.items())
    sets.add_argument("--order", choices=ORDERS, help=f"of the curve of growing sets: {orders}")
    sets.add_argument("--json", metavar="FILE", help="all of it; - for standard output alone")
    sets.add_argument("--csv", metavar="FILE", help="a line for each run, or for each pair; or -")

    going_on = commands.add_parser(
        "continue",
        help="what the clean, the corrupted and a patched run would write next",
        description="Continue both texts and a patched run token by token.",
    )
    going_on.set_defaults(run=_continue)
    _ask_for_pair(going_on)
    going_on.add_argument("--site", default="resid_post", help=", ".join(SITES))
    going_on.add_argument(
        "--window", type=_whole, default=0, help="how many layers on either side are patched too"
    )
    patch_of = going_on.add_mutually_exclusive_group(required=True)
    patch_of.add_argument(
        "--at",
        metavar="LAYER,POSITION",
        help="the cell of the site's map: LAYER,HEAD of a head's, LAYER,HEAD,POSITION of"
        " head_z_position; positions below 0 count from the end; embedding,POSITION of resid_post",
    )
    patch_of.add_argument("--components", metavar="SET", help='instead of a cell: "9.9 mlp0"')
    going_on.add_argument("--tokens", type=_whole, default=20, help="how many, 40 at the most")
    going_on.add_argument(
        "--temperature", type=_number, default=0.0, help="0 (default): the likeliest token each"
    )
    going_on.add_argument(
        "--top-k", type=_whole, default=0, help="draw among so many; 0 (default): among all"
    )
    going_on.add_argument("--seed", type=_whole, default=0, help="of what is drawn")
    going_on.add_argument("--json", metavar="FILE", help="all of it; - for standard output alone")
    going_on.add_argument("--csv", metavar="FILE", help="a line for each new token; or -")

    checks = commands.add_parser(
        "verify",
        help="check a model's numbers against plain runs and published ones",
        description="Check patching on a model against plain runs and against published numbers.",
    )
    checks.set_defaults(run=_verify)
    worksheets.add(commands)

    many, merge = many_pairs.add(commands, _whole)
    many.set_defaults(run=_many)
    merge.set_defaults(run=_merge)
    for command in (patch, program, paths, sets, going_on, checks, many):
        command.add_argument(
            "--model",
            default="teaching",
            help="teaching (default), gpt2 ... gpt2-xl, distilgpt2, a folder, or owner/name or"
            " owner/name@revision of the hub",
        )
        command.add_argument(
            "--step", type=_whole, help="of the teaching model: as it was after a step of training"
        )
        command.add_argument(
            "--training-seed" if command is going_on else "--seed",
            type=_whole,
            help="which of its training runs: 0 or 1",
        )
        command.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
        command.add_argument("--dtype", help="float32; bfloat16 or float16 for half the memory")

    timing = commands.add_parser(
        "bench",
        help="measure the sweep's speed and memory on this machine",
        description="Measure sweeps of random texts against plain runs and bare matrix products.",
    )
    timing.set_defaults(run=_bench)
    timing.add_argument("--model", default="teaching", help="teaching (default), gpt2, a folder")
    timing.add_argument("--random", metavar="SIZE", help="random weights of a size, e.g. gpt2")
    timing.add_argument("--tokens", type=_whole, default=11)
    timing.add_argument("--site", default="resid_post", choices=SITES, metavar="SITE")
    timing.add_argument("--budget", type=_duration, default=20.0, help="seconds to spend")
    timing.add_argument("--device", default="auto", help="auto (default), cpu, cuda, mps")
    timing.add_argument("--json", metavar="FILE", help="the numbers; - for standard output alone")

    listing = commands.add_parser("models", help="list the models and what is on this machine")
    listing.set_defaults(run=_models)
    return parser


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{brief(text)} is no whole number below 1,000,000,000")
    return int(text)


def _number(text: str) -> float:
    with suppress(ValueError):
        if len(text) < 20 and math.isfinite(float(text)):
            return float(text)
    raise argparse.ArgumentTypeError(f"{brief(text)} is no number")


def _duration(text: str) -> float:
    with suppress(ValueError):
        if len(text) < 20 and 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{brief(text)} is no number of seconds")


def _load(options: argparse.Namespace, dtype: str | None = "float32") -> models.LoadedModel:
    entry = models.find(options.model)
    if not entry.location:
        print(models.announced(models.ask(entry)), file=sys.stderr)
    return models.load(entry, options.device, _draw_download, dtype)


def _choose_checkpoint(options: argparse.Namespace) -> None:
    """Let the model be the one after a step of its training, if one is named."""
    seed = vars(options).get("training_seed", vars(options).get("seed"))
    if (options.step, seed) != (None, None):
        options.model = models.at_checkpoint(options.model, options.step, seed)


def _ask_for_pair(command: argparse.ArgumentParser, required: bool = True) -> None:
    """Two texts, the tokens that compete, and how to patch and to measure."""
    for name, metavar, example in _OF_PAIR:
        command.add_argument(f"--{name}", required=required, metavar=metavar, help=example)
    command.add_argument("--metric", default="logit_diff", help=", ".join(METRICS))
    command.add_argument("--direction", default="denoise", help=", ".join(OF_ONE))
    command.add_argument("--bos", action="store_true", help="begin both texts with <|endoftext|>")


def _ask_for_site(command: argparse.ArgumentParser) -> None:
    """What of the model is patched."""
    command.add_argument("--site", default="resid_post", help=", ".join(SITES))
    command.add_argument("--window", type=_whole, default=0, help=many_pairs.WINDOW)
    command.add_argument("--embedding", action="store_true", help="also patch the input of block 0")


def _experiment(options: argparse.Namespace) -> Experiment:
    names = {field.name for field in fields(Experiment)}
    return Experiment(**{key: v for key, v in vars(options).items() if key in names})


def _patch(options: argparse.Namespace) -> int:
    _choose_checkpoint(options)
    experiment = _experiment(options)
    files = _files(options)
    pictures = [kind for kind in _PICTURES if kind in files]
    if len(SITES[experiment.site].axes) > 2:
        for kind in (*pictures, *({"matrix"} & files.keys())):
            raise UserError(
                f"--{kind} has two axes and {options.site} has three; use --csv or --json."
            )
    for kind in ("png", "pdf"):
        if files.get(kind) == "-" and sys.stdout.isatty():
            raise UserError(
                f"a {kind.upper()} is nothing to read: name a file for it, or redirect the output."
            )
    study = Study(experiment, _load(options, options.dtype))
    study.read(experiment, metrics=())  # a metric that cannot be measured shows before the sweep
    _with_progress(study)
    result = study.read(experiment)
    if "csv" in files:
        output.write(files["csv"], exports.grid_csv(result))
    if "matrix" in files:
        output.write(files["matrix"], exports.matrix_csv(result))
    if pictures:
        from core.views.pictures import picture  # only here: matplotlib takes half a second

        for kind in pictures:
            output.write(files[kind], picture(result, kind, options.view))
    if "json" in files:
        output.write(files["json"], exports.to_json(result) + "\n")
    if "-" not in files.values():
        print(report(result))
    return 0


def _code(options: argparse.Namespace) -> int:
    _choose_checkpoint(options)
    output.check_places({"out": options.out})
    kind = os.path.splitext(options.out)[1].lower()
    if options.out != "-" and kind not in (".py", ".ipynb"):
        raise UserError(f"--out writes a .py or an .ipynb file: call {options.out} so.")
    experiment, model = _experiment(options), _load(options, options.dtype)
    Study(experiment, model).read(experiment, metrics=())  # what cannot be patched is told now
    cells = (code.fast if options.fast else code.plain)(experiment, model)
    output.write(options.out, (code.notebook if kind == ".ipynb" else code.script)(cells))
    return 0


def _paths(options: argparse.Namespace) -> int:
    _choose_checkpoint(options)
    experiment = _experiment(options)
    files = _files(options)
    follow = Follow(experiment, _load(options, options.dtype), [options.to], options.frozen)
    _with_progress(follow)
    (path_map,) = follow.read(experiment).values()
    if "csv" in files:
        output.write(files["csv"], exports.paths_csv(path_map))
    if "json" in files:
        output.write(files["json"], exports.paths_json(path_map) + "\n")
    if "-" not in files.values():
        print(report_paths(path_map))
    return 0


def _set(options: argparse.Namespace) -> int:
    if options.pairs is not None:
        return _set_over_pairs(options)
    missing = [f"--{name}" for name, *_ in _OF_PAIR if getattr(options, name) is None]
    if missing:
        raise UserError(f"without --pairs a set is of two texts: add {', '.join(missing)}.")
    _choose_checkpoint(options)
    files = _files(options)
    question = Sets(_experiment(options), _load(options, options.dtype))
    searches = options.components is None
    candidates = question.everything if searches else question.parse(options.components)
    how = options.order or ("greedy" if searches else "given")
    most, enough = (options.most, ENOUGH) if searches else (len(candidates), None)
    curve = _drawn(question.added(candidates, how, most, enough))
    if searches:
        size = min(options.most, curve.smallest() or options.most)
        candidates = question.parse(" ".join(curve.components[:size]))
    grade = _drawn(question.grade(candidates))
    if "csv" in files:
        output.write(files["csv"], exports.set_csv(grade, curve))
    if "json" in files:
        output.write(files["json"], exports.set_json(grade, curve) + "\n")
    if "-" not in files.values():
        print(report_set(grade, curve))
    return 0


def _set_over_pairs(options: argparse.Namespace) -> int:
    if options.components is None:
        raise UserError("--pairs needs --components: a set is searched for on one pair.")
    given = many_pairs.read(options.pairs)
    _choose_checkpoint(options)
    files = _files(options)
    asked = replace(_experiment(options), clean="", corrupted="", target="", foil="")
    model = _load(options, options.dtype)
    found = _drawn(Grading(*given, model, asked, options.components, draws=options.draw).run())
    if "csv" in files:
        output.write(files["csv"], exports.many_set_csv(found))
    if "json" in files:
        output.write(files["json"], exports.many_set_json(found) + "\n")
    if "-" not in files.values():
        print(report_many_set(found))
    return 0


def _continue(options: argparse.Namespace) -> int:
    how = Sampling(options.tokens, options.temperature, options.top_k, options.seed)
    _choose_checkpoint(options)
    files = _files(options)
    options.embedding = (options.at or "").startswith("embedding")
    question = Continue(_experiment(options), _load(options, options.dtype))
    of_set = options.components is not None
    patch = question.parse(options.components) if of_set else question.place(options.at)
    found = _drawn(question.continued(patch, how))
    if "csv" in files:
        output.write(files["csv"], continued.to_csv(found))
    if "json" in files:
        output.write(files["json"], continued.to_json(found) + "\n")
    if "-" not in files.values():
        print(continued.report(found))
    return 0


def _drawn(steps: Steps[Outcome]) -> Outcome:
    """Take all steps, drawing a bar: what came out."""
    outcome: list[Outcome] = []

    def fractions() -> Iterator[float]:
        outcome.append((yield from steps))

    _with_progress(fractions())
    return outcome[0]


def _many(options: argparse.Namespace) -> int:
    _choose_checkpoint(options)
    files = _files(options)
    asked = many_pairs.Command(options)
    _print_many(asked.run(_load(options, options.dtype), _Pace()), options.out, files)
    return 0


def _merge(options: argparse.Namespace) -> int:
    files = _files(options)
    _print_many(many_pairs.merge(options), options.out, files)
    return 0


def _print_many(
    answered: Answer | many_pairs.Unmapped, out: str | None, files: dict[str, str]
) -> None:
    said = exports.many_json(answered) + "\n"
    if out:
        made = many_files.files(answered) if isinstance(answered, Answer) else {}
        for name, make in ({"answer.json": lambda: said} | made).items():
            output.write(Path(out, name), make())
    if "json" in files:
        output.write(files["json"], said)
    if files.get("json") != "-":
        print(report_many(answered) if isinstance(answered, Answer) else answered.text)


class _Pace:
    """Draws how far pairs are, and how quickly those come that are computed now: what was there
    before it began is done, and took no time."""

    def __init__(self):
        self._began: dict[str, tuple[float, float]] = {}  # of a kind of work: when, how far

    def __call__(self, kind: str, fraction: float, pairs: int) -> None:
        now = time.perf_counter()
        then, before = self._began.setdefault(kind, (now, fraction))
        made, elapsed = fraction - before, now - then
        if fraction == 1:
            _draw_bar(1, "")
        elif elapsed > 1 and made:
            text = f"{int(fraction * pairs):,} of {counted(pairs, 'pair')} {kind}, "
            text += f"{made * pairs / elapsed:.1f} a second, "
            _draw_bar(fraction, text + f"{duration((1 - fraction) * elapsed / made)} left")


def _verify(options: argparse.Namespace) -> int:
    _choose_checkpoint(options)
    failed = run = 0
    for check in verify.checks(_load(options, options.dtype)):
        print(check.line, flush=True)
        run += not check.skipped
        failed += not (check.passed or check.skipped)
    if not run:  # which is not to be taken for a success
        print("\nNo check could be run on this model: nothing is known of its numbers.")
    else:
        print(f"\n{failed} failed." if failed else f"\nNothing failed of {run} that were run.")
    return 1 if failed or not run else 0


def _bench(options: argparse.Namespace) -> int:
    files = _files(options)
    if options.random:
        gpt = models.place(bench.random_model(options.random), options.device)
    else:
        gpt = _load(options).gpt
    numbers = {"model": options.random or options.model}
    numbers |= bench.measure(gpt, options.tokens, options.site, options.budget)
    if "json" in files:
        output.write(files["json"], json.dumps(numbers, indent=1) + "\n")
    if "-" not in files.values():
        print(bench.table(numbers))
    return 0


def _models(options: argparse.Namespace) -> int:
    print(models.table())
    return 0


def _files(options: argparse.Namespace) -> dict[str, str]:
    """What is to be written, and where to: what cannot be shows before anything runs."""
    given = {kind: getattr(options, kind, None) for kind in _SUFFIXES}
    files = {kind: path for kind, path in given.items() if path is not None}
    output.check_places(files)
    for kind, path in files.items():
        suffix = os.path.splitext(path)[1].lower()
        if suffix in _SUFFIXES.values() and suffix != _SUFFIXES[kind]:
            raise UserError(
                f"--{kind} does not write a {suffix} file: call {path} {_SUFFIXES[kind]}, or use"
                f" --{suffix[1:]}."
            )
    return files


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
    """A full bar wipes itself."""
    bar = ("█" * round(fraction * width)).ljust(width, "·")
    output.redraw(f"{bar} {fraction:4.0%}, {text}" if fraction < 1 else "")


if __name__ == "__main__":
    sys.exit(main())
