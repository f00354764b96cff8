"""Many pairs through one model: screened by plain runs, then swept, packed together.

Pairs of one length share each matrix product (`core.engine.sweep.together`), every run attending to
the base of its own pair, so that short texts and small models reach the rate of large products.
Of each pair the numbers of the map are kept, never its states: memory is that of one batch, however
many pairs there are. What a pair gives depends on it alone, not on those beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from core.engine.plan import Plan
from core.engine.runs import Run, record, run_bytes
from core.engine.sweep import Sweep, sizes_of, together
from core.many.fitting import Fitted
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.reading.states import Says, States, measure
from core.reading.unembed import Unembedding
from core.study import SIDES, sides

# What the plain runs and the final states of a batch may take up, in bytes.
BATCH_MEMORY = 96 << 20


class Screened(NamedTuple):
    """What a model says to the two plain runs of a pair. A rank counts from 1; of several targets
    or foils it is the best one's. LD is logit(foil) - logit(target)."""

    clean_difference: float  # LD
    corrupted_difference: float
    target_rank: int  # on the clean run
    foil_rank: int  # on the corrupted run

    @property
    def flips(self) -> bool:
        """The target wins on the clean run and the foil on the corrupted one."""
        return self.clean_difference < 0 < self.corrupted_difference

    @property
    def is_first(self) -> bool:
        """The target is what the model expects most after the clean text."""
        return self.target_rank == 1


@dataclass(frozen=True, eq=False)
class Values:
    """What a sweep says of one pair, under each of some metrics."""

    baselines: dict[str, tuple[float, float]]  # on the clean and on the corrupted run
    grids: dict[str, np.ndarray]  # float32, rows x columns of the shared map


def screened(pairs: Sequence[Fitted], model: LoadedModel) -> Iterator[Screened]:
    """Of each pair in turn what the model says to both plain runs. Those of one length that follow
    one another are run together."""
    unembedding = Unembedding(model.gpt.lm_head.weight)
    sizes = sizes_of(model.gpt)
    for T, same in groupby(pairs, key=lambda pair: len(pair.clean)):
        most = max(1, BATCH_MEMORY // (2 * run_bytes(sizes.L, T, sizes.C, sizes.itemsize)))
        for batch in _parts(list(same), most):
            for pair, runs in zip(batch, _recorded(batch, model), strict=True):
                states = [States(runs[side].state, unembedding) for side in SIDES]
                says = [Says(of, pair.target, pair.foil, states[0]) for of in states]
                ranks = [unembedding.ranks(of.states) for of in states]
                yield Screened(
                    *(of.logit_diff.item() for of in says),
                    target_rank=ranks[0][list(pair.target)].min().item(),
                    foil_rank=ranks[1][list(pair.foil)].min().item(),
                )


def batches(
    pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment
) -> Iterator[list[Fitted]]:
    """The pairs in parts that are swept together: of one length each, short ones first, and as many
    as BATCH_MEMORY has room for, but one at the least."""
    sizes = sizes_of(model.gpt)
    for T, same in groupby(sorted(pairs, key=lambda p: len(p.clean)), key=lambda p: len(p.clean)):
        one = Plan(sizes, T, 0, asked.site, asked.embedding, asked.window)
        takes = 2 * run_bytes(sizes.L, T, sizes.C, sizes.itemsize) + one.states_bytes
        yield from _parts(list(same), max(1, BATCH_MEMORY // takes))


def sweep(
    batch: Sequence[Fitted], model: LoadedModel, asked: Experiment, metrics: Sequence[str]
) -> Iterator[tuple[Fitted, Values]]:
    """The map of every pair of a batch, all of one length. Of `asked` the texts, target and foil do
    not matter. Raises UserError as `core.engine.sweep.Sweep` does."""
    recorded, (base, source) = _recorded(batch, model), sides(asked.direction)
    what = asked.site, asked.embedding, asked.window
    sweeps = [Sweep(model.gpt, runs[base], runs.get(source, source), *what) for runs in recorded]
    for _ in together(sweeps):
        pass
    for pair, runs, made in zip(batch, recorded, sweeps, strict=True):
        yield pair, _read(pair, runs, made, model, metrics)


def _read(
    pair: Fitted, runs: dict[str, Run], made: Sweep, model: LoadedModel, metrics: Sequence[str]
) -> Values:
    unembedding = Unembedding(model.gpt.lm_head.weight)
    ends = [States(runs[side].state, unembedding) for side in SIDES]
    of_cells = States(made.states, unembedding)

    def measured(metric: str, states: States) -> np.ndarray:
        return measure(metric, states, *ends, pair.target, pair.foil)

    baselines = {metric: tuple(measured(metric, end).item() for end in ends) for metric in metrics}
    grids = {metric: measured(metric, of_cells) for metric in metrics}
    if "position" in made.plan.site.axes:  # of a column that stands for several tokens, the mean
        grids = {
            metric: np.stack([grid[..., list(at)].mean(axis=-1) for _, at in pair.columns], axis=-1)
            for metric, grid in grids.items()
        }
    return Values(baselines, grids)


def _recorded(batch: Sequence[Fitted], model: LoadedModel) -> list[dict[str, Run]]:
    """Both plain runs of every pair, all in one pass."""
    texts = [ids for pair in batch for ids in (pair.clean, pair.corrupted)]
    runs = record(model.gpt, *texts)
    return [dict(zip(SIDES, two, strict=True)) for two in zip(runs[::2], runs[1::2], strict=True)]


def _parts(pairs: list[Fitted], most: int) -> Iterator[list[Fitted]]:
    return (pairs[i : i + most] for i in range(0, len(pairs), most))
