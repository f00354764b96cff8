"""`patch`, `code` and `continue`: one pair, one map, and what a patched run writes."""

import argparse
import os
import sys
from functools import partial

from core import output
from core.commands import asking, progress
from core.continuing import Continue
from core.errors import UserError
from core.question.sampling import Sampling
from core.question.sites import SITES
from core.result import Result
from core.study import Study
from core.views import code, continued, exports
from core.views.colour_bar import VIEWS
from core.views.terminal import report


def add(commands: argparse._SubParsersAction) -> None:
    patch = commands.add_parser(
        "patch",
        help="sweep one text pair and print the next-token tables and the grid",
        description="Patch every layer and position of one text pair and print the grid.",
    )
    patch.set_defaults(run=_patch)
    asking.pair(patch)
    asking.site(patch)
    patch.add_argument("--json", metavar="FILE", help="everything; - for standard output alone")
    patch.add_argument("--csv", metavar="FILE", help="the grid under every metric; or -")
    patch.add_argument(
        "--matrix",
        metavar="FILE",
        help="layers by positions, as numpy.loadtxt reads it (an embedding row in a comment); or -",
    )
    for kind in asking.PICTURES:
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
    asking.pair(program)
    asking.site(program)
    program.add_argument(
        "--out", default="-", metavar="FILE", help="a .py or an .ipynb file; - (default) prints it"
    )
    program.add_argument("--fast", action="store_true", help="in a few lines, with this library")

    going_on = commands.add_parser(
        "continue",
        help="what the clean, the corrupted and a patched run would write next",
        description="Continue both texts and a patched run token by token.",
    )
    going_on.set_defaults(run=_continue)
    asking.pair(going_on)
    going_on.add_argument("--site", default="resid_post", help=", ".join(SITES))
    going_on.add_argument(
        "--window",
        type=asking.whole,
        default=0,
        help="how many layers on either side are patched too",
    )
    patch_of = going_on.add_mutually_exclusive_group(required=True)
    patch_of.add_argument(
        "--at",
        metavar="LAYER,POSITION",
        help="the cell of the site's map: LAYER,HEAD of a head's, LAYER,HEAD,POSITION of"
        " head_z_position; positions below 0 count from the end; embedding,POSITION of resid_post",
    )
    patch_of.add_argument("--components", metavar="SET", help='instead of a cell: "9.9 mlp0"')
    going_on.add_argument(
        "--tokens", type=asking.whole, default=20, help="how many, 40 at the most"
    )
    going_on.add_argument(
        "--temperature",
        type=asking.number,
        default=0.0,
        help="0 (default): the likeliest token each",
    )
    going_on.add_argument(
        "--top-k", type=asking.whole, default=0, help="draw among so many; 0 (default): among all"
    )
    going_on.add_argument("--seed", type=asking.whole, default=0, help="of what is drawn")
    going_on.add_argument("--json", metavar="FILE", help="all of it; - for standard output alone")
    going_on.add_argument("--csv", metavar="FILE", help="a line for each new token; or -")

    for command in (patch, program):
        asking.model(command)
    asking.model(going_on, seed="--training-seed")  # --seed is that of what is drawn


def _patch(options: argparse.Namespace) -> int:
    asking.choose_checkpoint(options)
    experiment = asking.experiment(options)
    files = asking.files(options)
    pictures = [kind for kind in asking.PICTURES if kind in files]
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
    study = Study(experiment, asking.load(options))
    study.read(experiment, metrics=())  # a metric that cannot be measured shows before the sweep
    progress.shown(study)
    result = study.read(experiment)
    made = {
        "csv": lambda: exports.grid_csv(result),
        "matrix": lambda: exports.matrix_csv(result),
        **{kind: partial(_picture, result, kind, options.view) for kind in asking.PICTURES},
        "json": lambda: exports.to_json(result),
    }
    return asking.deliver(files, made, lambda: report(result))


def _picture(result: Result, kind: str, view: str) -> bytes:
    from core.views.pictures import picture  # only here: matplotlib takes half a second to import

    return picture(result, kind, view)


def _code(options: argparse.Namespace) -> int:
    asking.choose_checkpoint(options)
    output.check_places({"out": options.out})
    kind = os.path.splitext(options.out)[1].lower()
    if options.out != "-" and kind not in (".py", ".ipynb"):
        raise UserError(f"--out writes a .py or an .ipynb file: call {options.out} so.")
    experiment, model = asking.experiment(options), asking.load(options)
    Study(experiment, model).read(experiment, metrics=())  # what cannot be patched is told now
    cells = (code.fast if options.fast else code.plain)(experiment, model)
    output.write(options.out, (code.notebook if kind == ".ipynb" else code.script)(cells))
    return 0


def _continue(options: argparse.Namespace) -> int:
    how = Sampling(options.tokens, options.temperature, options.top_k, options.seed)
    asking.choose_checkpoint(options)
    files = asking.files(options)
    options.embedding = (options.at or "").startswith("embedding")
    question = Continue(asking.experiment(options), asking.load(options))
    of_set = options.components is not None
    patch = question.parse(options.components) if of_set else question.place(options.at)
    found = progress.finished(question.continued(patch, how))
    made = {
        "csv": lambda: continued.to_csv(found),
        "json": lambda: continued.to_json(found),
    }
    return asking.deliver(files, made, lambda: continued.report(found))
