"""`python -m core many`: a file of pairs in, one map with intervals out."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from core.errors import UserError
from core.many import pairs as files
from core.many.answer import KEEPS, Answer
from core.many.fitting import REDUCES
from core.many.store import Store
from core.many.survey import Sample, Survey
from core.models import LoadedModel
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES

Progress = Callable[[float, int], None]  # (the fraction that is done, of so many pairs)


def add(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """The command and its own options; those that say which model are added by whoever has them."""
    many = commands.add_parser(
        "many",
        help="one map over many text pairs from a file, with intervals",
        description="Patch every pair of a file and print one map over all, with intervals.",
    )
    keeps = "; ".join(f"{name}: {says}" for name, says in KEEPS.items())
    many.add_argument("file", metavar="FILE", help="CSV, TSV or JSON; - for standard input")
    many.add_argument("--metric", default="recovery", help=", ".join(METRICS))
    many.add_argument("--direction", default="denoise", help=", ".join(DIRECTIONS))
    many.add_argument("--site", default="resid_post", help=", ".join(SITES))
    many.add_argument(
        "--window", type=int, default=0, help="how many layers on either side are patched too"
    )
    many.add_argument("--embedding", action="store_true", help="also patch the input of block 0")
    many.add_argument("--bos", action="store_true", help="begin all texts with <|endoftext|>")
    many.add_argument("--keep", default="all", choices=KEEPS, help=keeps)
    many.add_argument(
        "--roles", default="last", choices=REDUCES, help="which tokens a role of several stands for"
    )
    many.add_argument(
        "--rest", action="store_true", help="columns for the tokens before, between, after roles"
    )
    many.add_argument("--mean-of-ratios", action="store_true", help="of recovery, pair by pair")
    many.add_argument("--samples-seed", type=int, default=0, metavar="N", help="of the bootstrap")
    many.add_argument("--out", metavar="FOLDER", help="keep each pair's values; go on from them")
    many.add_argument("--json", metavar="FILE", help="the answer; - for standard output alone")
    return many


def answer(
    options: argparse.Namespace, model: LoadedModel, on_progress: Progress = lambda *_: None
) -> Answer:
    """Read, screen, sweep and sum up. Raises UserError for what a person can mend."""
    asked = Experiment(
        *[""] * 4,
        model=model.card.name,
        metric=options.metric,
        direction=options.direction,
        site=options.site,
        window=options.window,
        embedding=options.embedding,
        bos=options.bos,
    )
    given = files.read(_content(options.file), options.file)
    sample = Sample(*given, model, asked.bos, options.roles, options.rest)
    store = Store(Path(options.out)) if options.out else None
    survey = Survey(sample, asked, options.keep, [asked.metric], store)
    for fraction in survey:
        on_progress(fraction, len(survey.pairs))
    return survey.read(asked, options.mean_of_ratios, options.samples_seed)


def _content(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", "file") from error
