"""`python -m core many`: a file of pairs in, one map with intervals out."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from core import models, output
from core.errors import UserError
from core.many import pairs as files
from core.many import running
from core.many.answer import Answer
from core.many.fitting import REDUCE, fit, shared_columns
from core.many.running import KEEPS, Store
from core.many.summary import samples, summarize
from core.many.sweeping import screened
from core.models import LoadedModel
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.result import EMBEDDING
from core.study import sides

ANSWER = "answer.json"  # in the folder of --out


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    many = commands.add_parser(
        "many",
        help="one map over many text pairs from a file, with intervals",
        description="Patch every pair of a file and print one map over all, with intervals.",
    )
    many.set_defaults(run=run)
    many.add_argument("file", metavar="FILE", help="CSV, TSV or JSON of pairs; - for standard input")
    many.add_argument("--metric", default="recovery", help=", ".join(METRICS))
    many.add_argument("--direction", default="denoise", help=", ".join(DIRECTIONS))
    many.add_argument("--site", default="resid_post", help=", ".join(SITES))
    many.add_argument("--embedding", action="store_true", help="also patch the input of block 0")
    many.add_argument("--bos", action="store_true", help="begin all texts with <|endoftext|>")
    many.add_argument(
        "--keep", default="all", choices=KEEPS, help="; ".join(f"{k}: {v}" for k, v in KEEPS.items())
    )
    many.add_argument(
        "--roles", default="last", choices=REDUCE, help="which of a role's tokens is patched"
    )
    many.add_argument("--mean-of-ratios", action="store_true", help="of recovery, for each pair")
    many.add_argument("--seed", type=int, default=0, dest="bootstrap_seed", help="of the bootstrap")
    many.add_argument("--out", metavar="FOLDER", help="keep each pair's values, and go on from them")
    many.add_argument("--json", metavar="FILE", help="the answer; - for standard output alone")


def run(options: argparse.Namespace, load: Callable[..., LoadedModel]) -> int:
    """Answer, and print or write it."""
    asked = Experiment(
        "",
        "",
        "",
        "",
        model=options.model,
        metric=options.metric,
        direction=options.direction,
        site=options.site,
        embedding=options.embedding,
        bos=options.bos,
    )
    if len(SITES[asked.site].axes) > 2:
        raise UserError(f"a map over pairs has two axes, and {asked.site} has three.", "site")
