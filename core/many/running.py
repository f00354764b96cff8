"""The work on many pairs: which of them go into the map, and their values, kept on disk as they
come.

for pair, values in work(pairs, model, asked, ("logit_diff",), Store(folder)): ...
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.many import sweeping
from core.many.fitting import Fitted
from core.many.pairs import Dropped
from core.many.sweeping import Screened, Values
from core.models import LoadedModel
from core.question.experiment import Experiment

# Which of the usable pairs go into the map.
KEEPS = {
    "all": "all usable pairs",
    "flips": "pairs whose target wins on the clean run and whose foil wins on the corrupted one",
    "first": "pairs whose target is the model's first choice on the clean run",
}
VALUES = "values.jsonl"  # in a folder: a line for each pair that is done


class Store:
    """What is done of each pair, in a folder, so that work that was broken off goes on. A line is
    found again by all that its numbers depend on; one that was written in part is none."""

    def __init__(self, folder: Path):
        self._path = folder / VALUES
        self._found: dict[str, Values] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    digest, values = json.loads(line)
                    self._found[digest] = _from_lists(values)
                except (ValueError, TypeError, KeyError):
                    continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{folder} cannot be written to: {error.strerror}.", "out") from error
        if self._file.tell() and not self._path.read_bytes().endswith(b"\n"):
            self._file.write("\n")

    def find(self, digest: str) -> Values | None:
        return self._found.get(digest)

    def add(self, digest: str, values: Values) -> None:
        self._file.write(json.dumps([digest, _to_lists(values)]) + "\n")
        self._file.flush()


def digest(pair: Fitted, model: LoadedModel, asked: Experiment, metrics: Sequence[str]) -> str:
    """What stands for all that the values of a pair depend on."""
    weights = model.card.fingerprint, model.card.dtype
    question = asked.site, asked.direction, asked.window, asked.embedding, sorted(metrics)
    tokens = pair.clean, pair.corrupted, pair.target, pair.foil, pair.columns
    whole = json.dumps([weights, question, tokens])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def choose(
    pairs: Sequence[Fitted], screened: Sequence[Screened], keep: str
) -> tuple[list[Fitted], list[Dropped]]:
    """The pairs of a kind of KEEPS, and those left out with what the model says to them."""
    kept, dropped = [], []
    for pair, found in zip(pairs, screened, strict=True):
        if keep == "flips" and not found.flips:
            reason = (
                f"does not flip: LD is {found.clean_difference:.3f} on the clean run and"
                f" {found.corrupted_difference:.3f} on the corrupted one"
            )
        elif keep == "first" and not found.is_first:
            reason = f"the target is at rank {found.target_rank:,} on the clean run, not the first"
        else:
            kept.append(pair)
            continue
        dropped.append(Dropped(pair.pair.line, pair.pair.id, reason))
    if not kept:
        raise UserError(
            f"None of {len(pairs)} usable pairs is one of the {KEEPS[keep]}: keep all of them"
            " (--keep all), or ask a model that shows the behaviour.",
            "keep",
        )
    return kept, dropped


def work(
    pairs: Sequence[Fitted],
    model: LoadedModel,
    asked: Experiment,
    metrics: Sequence[str],
    store: Store | None = None,
) -> Iterator[tuple[Fitted, Values]]:
    """The values of every pair, those first that are in the `store` already; the others are put
    into it as they come, batch by batch."""
    todo = []
    for pair in pairs:
        known = store and store.find(digest(pair, model, asked, metrics))
        if known:
            yield pair, known
        else:
            todo.append(pair)
    for batch in sweeping.batches(todo, model, asked):
        for pair, values in sweeping.sweep(batch, model, asked, metrics):
            if store:
                store.add(digest(pair, model, asked, metrics), values)
            yield pair, values


def _to_lists(values: Values) -> dict:
    grids = {metric: grid.tolist() for metric, grid in values.grids.items()}
    return {"baselines": values.baselines, "grids": grids}


def _from_lists(values: dict) -> Values:
    return Values(
        {metric: tuple(ends) for metric, ends in values["baselines"].items()},
        {metric: np.array(grid, dtype=np.float32) for metric, grid in values["grids"].items()},
    )
