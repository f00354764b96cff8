"""`python -m core many`: a file of pairs in, one map with intervals out; and what it keeps."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from core.errors import UserError
from core.many import folder, mends
from core.many import pairs as files
from core.many.answer import DRAWS, KEEPS, Answer
from core.many.fitting import REDUCES, fit
from core.many.pairs import Dropped, Pair, Share, counted
from core.many.store import plain
from core.many.survey import Sample, Survey
from core.models import LoadedModel
from core.output import printable
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES

Progress = Callable[[str, float, int], None]  # (doing what, the fraction done, of so many pairs)
Number = Callable[[str], int]

WINDOW = "how many layers on either side are patched with each, all at once: a joint effect"
MERGE = "many merge"  # as a command is called; a file called merge is ./merge


class Unmapped(NamedTuple):
    """A share that is done and has no map of its own."""

    n_given: int
    n_used: int
    dropped: tuple[Dropped, ...]
    why: str

    @property
    def text(self) -> str:
        return (
            f"The share is done, {self.n_used:,} used of {self.n_given:,} given, and has no map of"
            f" its own: {self.why}"
        )

    def to_dict(self) -> dict:
        return plain(self)


def add(
    commands: argparse._SubParsersAction, whole: Number
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The command and the one that merges, with their own options; those that say which model are
    added by whoever has them. `whole` reads a whole number."""
    many = commands.add_parser(
        "many",
        help="one map over many text pairs from a file, with intervals",
        description="Patch every pair of a file and print one map over all, with intervals.",
    )
    keeps = "; ".join(f"{name}: {says}" for name, says in KEEPS.items())
    many.add_argument("file", metavar="FILE", help="CSV, TSV or JSON; - for standard input")
    many.add_argument("--metric", default=Experiment.metric, help=", ".join(METRICS))
    many.add_argument("--direction", default="denoise", help=", ".join(DIRECTIONS))
    many.add_argument("--site", default="resid_post", help=", ".join(SITES))
    many.add_argument(
        "--resample-seed",
        type=whole,
        default=0,
        metavar="N",
        help="of a resample ablation: which other pair gives to which",
    )
    many.add_argument("--window", type=whole, default=0, help=WINDOW)
    many.add_argument("--embedding", action="store_true", help="also patch the input of block 0")
    many.add_argument("--bos", action="store_true", help="begin all texts with <|endoftext|>")
    many.add_argument("--keep", default="all", choices=KEEPS, help=keeps)
    many.add_argument(
        "--roles", default="last", choices=REDUCES, help="which tokens a role of several stands for"
    )
    many.add_argument(
        "--rest", action="store_true", help="columns for the tokens before, between, after roles"
    )
    many.add_argument(
        "--length", type=whole, metavar="N", help="only pairs of N tokens, of those without roles"
    )
    many.add_argument("--mean-of-ratios", action="store_true", help="of recovery, pair by pair")
    many.add_argument("--samples-seed", type=whole, default=0, metavar="N", help="of the bootstrap")
    add_draw(many)
    many.add_argument(
        "--resume", action="store_true", help="go on in FOLDER: pairs that are done are kept"
    )
    many.add_argument(
        "--shard",
        type=_share,
        default=Share(),
        metavar="I/N",
        help="only every N-th row, from the I-th on, for `many merge` to join: 1/N to N/N",
    )
    many.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster whose workers share the work"
    )
    merge = commands.add_parser(
        MERGE,
        help="join the shards of one map",
        description="Print the map of all shards that `many --shard` has left in folders.",
    )
    merge.add_argument("folders", nargs="+", metavar="FOLDER")
    for command in (many, merge):
        command.add_argument("--out", metavar="FOLDER", help="keep each pair's values, and all")
        command.add_argument("--json", metavar="FILE", help="the answer; - for standard output")
    return many, merge


def add_draw(command: argparse.ArgumentParser) -> None:
    draws = "; ".join(f"{name}: {says}" for name, says in DRAWS.items())
    command.add_argument(
        "--draw", default="groups", choices=DRAWS, help=f"what the bootstrap draws: {draws}"
    )


def _share(text: str) -> Share:
    found = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text)
    share = Share(*map(int, found.groups())) if found else Share(0, 0)
    if not 1 <= share.i <= share.n:
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is no share: the shares of four are 1/4, 2/4, 3/4 and 4/4"
        )
    return share


class Command:
    """What a person asks for, as far as it is without the model. Raises UserError, as all here."""

    def __init__(self, options: argparse.Namespace):
        self._options = options
        self._out = Path(options.out) if options.out else None
        if not self._out and (options.resume or options.shard != Share()):
            option = "--resume" if options.resume else "--shard"
            raise UserError(f"{option} needs --out, the folder that keeps what is done.", "out")
        if self._out:
            folder.check(self._out, options.resume)
        self._asked = Experiment(
            *[""] * 4,
            model=options.model,
            metric=options.metric,
            direction=options.direction,
            site=options.site,
            window=options.window,
            embedding=options.embedding,
            bos=options.bos,
        )
        self._content = _content(options.file)
        self._given = files.read(self._content, options.file)

    def run(self, model: LoadedModel, on_progress: Progress = lambda *_: None) -> Answer | Unmapped:
        """Screen, sweep and sum up."""
        options, asked = self._options, replace(self._asked, model=model.card.name)
        how = {"keep": options.keep, "roles": options.roles, "rest": options.rest}
        given = self._given
        if options.length is not None:
            how["length"] = options.length
            fitted, _ = fit(given[0], model.encoder, model.gpt.block_size, asked.bos)
            given = mends.of_length(*given, fitted, options.length)
        metrics = ["logit_diff" if options.metric == "recovery" else options.metric]
        if asked.direction == "resample":
            how["resample_seed"] = options.resample_seed
        head = folder.head(self._content, options.shard, model.card, asked, metrics, **how)
        store = folder.begin(self._out, head) if self._out else None
        fitting = *given, model, asked.bos, options.roles, options.rest
        try:
            sample = whole = Sample(*fitting, share=options.shard)
            if DIRECTIONS[asked.direction].of_many and options.shard != Share():
                whole = Sample(*fitting)  # the others of a pair may be in any shard
        except mends.UnlikeLengths as error:
            raise UserError(f"{str(error).removesuffix('.')} (--length N).", error.field) from error
        with ExitStack() as stack:
            cluster = None
            if options.scheduler is not None:
                from core.many.cluster import Cluster  # only here, as Dask may not be installed

                cluster = Cluster(options.scheduler, model, options.device)
                stack.enter_context(cluster)
            if options.keep != "all":
                self._screen(whole, cluster.screen(whole) if cluster else whole, on_progress)
                by_id = zip((of.pair.id for of in whole.pairs), whole.screened, strict=True)
                sample.take(dict(by_id))
            used, _ = whole.chosen(options.keep)
            seed = options.resample_seed
            survey = Survey(sample, asked, options.keep, metrics, store, used, seed)
            for caution in mends.cautions(*given, model.encoder):
                print(f"Careful: {printable(caution.says)}", file=sys.stderr)
            if options.resume:
                left = len(survey.todo())
                print(
                    f"Kept from before: {len(survey.swept):,} of"
                    f" {counted(len(survey.pairs), 'pair')}; to do: {left:,}.",
                    file=sys.stderr,
                )
            for fraction in cluster.sweep(survey) if cluster else survey:
                on_progress("done", fraction, len(survey.pairs))
        summing = asked, options.mean_of_ratios, options.samples_seed, options.draw
        if self._out:
            digests = [(survey.digest(pair), pair) for pair in survey.pairs]
            folder.finish(self._out, head, digests, survey.about(*summing))
        try:
            return survey.read(*summing)
        except UserError as error:
            if options.shard == Share():
                raise
            about = survey.about(*summing)
            why = str(error) if survey.pairs else "none of its rows is used."
            return Unmapped(about["given"], len(survey.pairs), about["dropped"], why)

    def _screen(self, sample: Sample, steps: Iterable[float], on_progress: Progress) -> None:
        """Unless that is done already."""
        ids = [pair.pair.id for pair in sample.pairs]
        if self._out and (known := folder.screened(self._out)).keys() == set(ids):
            sample.take(known)
        for fraction in steps:
            on_progress("screened", fraction, len(ids))
        if self._out:
            folder.keep_screened(self._out, dict(zip(ids, sample.screened, strict=True)))


def merge(options: argparse.Namespace) -> Answer:
    """The answer of all shards, with a folder of its own where one is asked for."""
    out = Path(options.out) if options.out else None
    if out:
        folder.check(out, resume=False)
    return folder.merge([Path(path) for path in options.folders], out)


def read(file: str) -> tuple[list[Pair], list[Dropped]]:
    """The pairs of a file, "-" being standard input, and the rows that are none."""
    return files.read(_content(file), file)


def _content(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(files.MOST_BYTES + 1)
        with open(file, "rb") as opened:  # of a device there may be no end
            return opened.read(files.MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", "file") from error
