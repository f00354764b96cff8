"""`paths` and `set`: which components feed which, and which carry the answer together."""

import argparse
from dataclasses import replace

from core.commands import asking, progress
from core.errors import UserError
from core.following import Follow
from core.many import cli as many_pairs
from core.many.grading import Grading
from core.result import ENOUGH, FROZEN, ORDERS
from core.sets import Sets
from core.views import path_files, set_files
from core.views.terminal import report_many_set, report_paths, report_set


def add(commands: argparse._SubParsersAction) -> None:
    paths = commands.add_parser(
        "paths",
        help="path patching: what every head and MLP sends directly into a receiver",
        description="Patch the direct path of every sender into one receiver and print the map.",
    )
    paths.set_defaults(run=_paths)
    asking.pair(paths)
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
    asking.pair(sets, required=False)
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
    sets.add_argument("--most", type=asking.whole, default=20, help="components of a searched set")
    orders = "; ".join(f"{name}: {says}" for name, says in ORDERS.items())
    sets.add_argument("--order", choices=ORDERS, help=f"of the curve of growing sets: {orders}")
    sets.add_argument("--json", metavar="FILE", help="all of it; - for standard output alone")
    sets.add_argument("--csv", metavar="FILE", help="a line for each run, or for each pair; or -")

    for command in (paths, sets):
        asking.model(command)


def _paths(options: argparse.Namespace) -> int:
    asking.choose_checkpoint(options)
    experiment = asking.experiment(options)
    files = asking.files(options)
    follow = Follow(experiment, asking.load(options), [options.to], options.frozen)
    progress.shown(follow)
    (path_map,) = follow.read(experiment).values()
    made = {
        "csv": lambda: path_files.paths_csv(path_map),
        "json": lambda: path_files.paths_json(path_map),
    }
    return asking.deliver(files, made, lambda: report_paths(path_map))


def _set(options: argparse.Namespace) -> int:
    if options.pairs is not None:
        return _set_over_pairs(options)
    missing = [f"--{name}" for name, *_ in asking.OF_PAIR if getattr(options, name) is None]
    if missing:
        raise UserError(f"without --pairs a set is of two texts: add {', '.join(missing)}.")
    asking.choose_checkpoint(options)
    files = asking.files(options)
    question = Sets(asking.experiment(options), asking.load(options))
    searches = options.components is None
    candidates = question.everything if searches else question.parse(options.components)
    how = options.order or ("greedy" if searches else "given")
    most, enough = (options.most, ENOUGH) if searches else (len(candidates), None)
    curve = progress.finished(question.added(candidates, how, most, enough))
    if searches:
        size = min(options.most, curve.smallest() or options.most)
        candidates = question.parse(" ".join(curve.components[:size]))
    grade = progress.finished(question.grade(candidates))
    made = {
        "csv": lambda: set_files.set_csv(grade, curve),
        "json": lambda: set_files.set_json(grade, curve),
    }
    return asking.deliver(files, made, lambda: report_set(grade, curve))


def _set_over_pairs(options: argparse.Namespace) -> int:
    if options.components is None:
        raise UserError("--pairs needs --components: a set is searched for on one pair.")
    given = many_pairs.read(options.pairs)
    asking.choose_checkpoint(options)
    files = asking.files(options)
    asked = replace(asking.experiment(options), clean="", corrupted="", target="", foil="")
    model = asking.load(options)
    found = progress.finished(
        Grading(*given, model, asked, options.components, draws=options.draw).run()
    )
    made = {
        "csv": lambda: set_files.many_set_csv(found),
        "json": lambda: set_files.many_set_json(found),
    }
    return asking.deliver(files, made, lambda: report_many_set(found))
