"""`python -m core many`: a file of pairs in, one map with intervals out."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from core import output
from core.errors import UserError
from core.many import pairs as files
from core.many import running
from core.many.answer import Answer
from core.many.fitting import REDUCES, Fitted, fit, shared_columns
from core.many.running import KEEPS, Store
from core.many.summary import samples, summarize
from core.many.sweeping import Values, screened
from core.models import LoadedModel
from core.question.experiment import DIRECTIONS, Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.result import EMBEDDING
from core.study import sides

Progress = Callable[[int, int], None]  # (pairs done, of so many)


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
    many.add_argument("--embedding", action="store_true", help="also patch the input of block 0")
    many.add_argument("--bos", action="store_true", help="begin all texts with <|endoftext|>")
    many.add_argument("--keep", default="all", choices=KEEPS, help=keeps)
    many.add_argument(
        "--roles", default="last", choices=REDUCES, help="which tokens a role of several stands for"
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
        embedding=options.embedding,
        bos=options.bos,
    )
    site = SITES[asked.site]
    if len(site.axes) > 2:
        raise UserError(f"A map over pairs has two axes, and {asked.site} has three.", "site")
    given, dropped = files.read(_content(options.file), options.file)
    count = len(given) + len(dropped)
    gpt = model.gpt
    fitted, unfit = fit(given, model.encoder, gpt.block_size, asked.bos, options.roles)
    columns, pairs, others = shared_columns(fitted)
    pairs, left_out = running.choose(pairs, list(screened(pairs, model)), options.keep)
    if "position" not in site.axes:
        columns = tuple(map(str, range(gpt.config.n_head)))
    metrics = list(dict.fromkeys(("logit_diff", asked.metric)))
    if "recovery" in metrics:  # read off the logit differences
        metrics.remove("recovery")
    store = Store(Path(options.out)) if options.out else None
    used: list[Fitted] = []
    values: list[Values] = []
    for pair, found in running.work(pairs, model, asked, metrics, store):
        used.append(pair)
        values.append(found)
        on_progress(len(used), len(pairs))
    in_order = sorted(range(len(used)), key=lambda i: used[i].pair.line)
    weights = samples([used[i].pair.group for i in in_order], seed=options.samples_seed)
    base = sides(asked.direction)[0]
    chosen = [values[i] for i in in_order]
    layers = tuple(map(str, range(gpt.config.n_layer)))
    return Answer(
        asked,
        model.card,
        options.keep,
        count,
        tuple(sorted((*dropped, *unfit, *others, *left_out), key=lambda row: row.line)),
        (EMBEDDING, *layers) if asked.embedding else layers,
        columns,
        site.axes,
        summarize(chosen, asked.metric, base, weights, options.mean_of_ratios),
        options.mean_of_ratios,
        options.samples_seed,
    )


def show(answered: Answer, json_file: str | None) -> None:
    """Print the map, and all that was left out; or write JSON."""
    if json_file:
        content = json.dumps(answered.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        output.write(json_file, content + "\n")
    if json_file != "-":
        print("\n".join([answered.report(), *_left_out(answered)]))


def _left_out(answered: Answer, most: int = 20) -> Iterator[str]:
    rows = answered.dropped
    if rows:
        yield f"\n{len(rows):,} left out:"
    for row in rows[:most]:
        yield f"  line {row.line:,} ({row.id}): {row.reason}"
    if len(rows) > most:
        yield f"  and {len(rows) - most:,} more (--json names all)"


def _content(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", "file") from error
