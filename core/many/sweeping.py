"""Many pairs through one model: screened by plain runs, then swept, packed together.

Pairs of one length share each matrix product (`core.engine.sweep.together`), every run attending to
the base of its own pair, so that short texts and small models reach the rate of large products.
Of each pair the numbers of the map are kept, never its states: memory is that of one batch, however
many pairs there are. What a pair gives depends on it alone, not on those beside it.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch

from core.engine.plan import Plan, first_difference
from core.engine.runs import Run, record, run_bytes
from core.engine.sweep import Sweep, sizes_of, together
from core.engine.work import run_work
from core.many.fitting import Fitted
from core.many.values import Screened, Swept, Values
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.question.tokens import token
from core.reading.states import States, measure
from core.reading.unembed import Unembedding
from core.steps import Steps
from core.study import SIDES, sides

# What the plain runs and the final states of a batch may take up, in bytes.
BATCH_MEMORY = 96 << 20
# And how much there may be to compute, since a batch's numbers come in at its end: in floating-
# point operations, a second's or less.
BATCH_WORK = 3e10


def screen(batch: Sequence[Fitted], model: LoadedModel) -> list[Screened]:
    """What the model says to both plain runs of pairs of one length."""
    return _screened(batch, _recorded(batch, model), model)


def screenings(pairs: Sequence[Fitted], model: LoadedModel) -> Iterator[list[Fitted]]:
    """The pairs in turn, in parts that are screened together."""
    sizes = sizes_of(model.gpt)
    for T, same in groupby(pairs, key=lambda pair: len(pair.clean)):
        takes = 2 * run_bytes(sizes.L, T, sizes.C, sizes.itemsize)
        costs = 2 * run_work(sizes.L, sizes.C, sizes.M, T, 0, 0, T)
        yield from _parts(list(same), takes, costs)


def batches(
    pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment
) -> Iterator[list[Fitted]]:
    """The pairs in parts that are swept together: of one length each, short ones first, and as many
    as BATCH_MEMORY and BATCH_WORK have room for, but one at the least."""
    sizes = sizes_of(model.gpt)
    for T, same in groupby(sorted(pairs, key=lambda p: len(p.clean)), key=lambda p: len(p.clean)):
        one = Plan(sizes, T, 0, asked.site, asked.embedding, asked.window)
        takes = 2 * run_bytes(sizes.L, T, sizes.C, sizes.itemsize) + one.states_bytes
        yield from _parts(list(same), takes, one.work)


def work_of(pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment) -> int:
    """Floating-point operations of the plain runs and the sweeps of pairs, at the least."""
    sizes = sizes_of(model.gpt)
    L, C, M, _, _ = sizes
    total = 0
    for pair in pairs:
        T = len(pair.clean)
        differ = first_difference(pair.clean, pair.corrupted) if _has_source(asked) else 0
        plan = Plan(sizes, T, differ, asked.site, asked.embedding, asked.window)
        total += plan.work + 2 * run_work(L, C, M, T, 0, 0, T)
    return total


def sweep(
    batch: Sequence[Fitted], model: LoadedModel, asked: Experiment, metrics: Sequence[str]
) -> Steps[list[Swept]]:
    """The map of every pair of a batch, all of one length. Of `asked` the texts, target and foil do
    not matter. Raises UserError as `core.engine.sweep.Sweep` does."""
    recorded, (base, source) = _recorded(batch, model), sides(asked.direction)
    what = asked.site, asked.embedding, asked.window
    sweeps = [Sweep(model.gpt, runs[base], runs.get(source, source), *what) for runs in recorded]
    yield from together(sweeps)
    screened = _screened(batch, recorded, model)
    values = (_read(*of, model, metrics) for of in zip(batch, recorded, sweeps, strict=True))
    return [Swept(*of) for of in zip(batch, screened, values, strict=True)]


def _has_source(asked: Experiment) -> bool:
    return sides(asked.direction)[1] in SIDES


@torch.inference_mode()
def _screened(
    batch: Sequence[Fitted], recorded: Sequence[dict[str, Run]], model: LoadedModel
) -> list[Screened]:
    unembedding = Unembedding(model.gpt.lm_head.weight)
    said = {
        side: unembedding.logits(torch.stack([runs[side].state for runs in recorded]))
        for side in SIDES
    }  # (pairs, V) each
    found = []
    for i, pair in enumerate(batch):
        logits = {side: of[i] for side, of in said.items()}
        one_of = {
            side: (of[list(pair.target)].logsumexp(0), of[list(pair.foil)].logsumexp(0))
            for side, of in logits.items()
        }
        differences = ((foil - target).item() for target, foil in one_of.values())
        ranks = (_rank(logits["clean"], pair.target), _rank(logits["corrupted"], pair.foil))
        own = {"clean": one_of["clean"][0], "corrupted": one_of["corrupted"][1]}
        probs = ((own[side] - logits[side].logsumexp(0)).exp().item() for side in SIDES)
        tops = (token(logits[side].argmax().item(), model.encoder) for side in SIDES)
        found.append(Screened(*differences, *ranks, *probs, *tops))
    return found


def _rank(logits: torch.Tensor, ids: tuple[int, ...]) -> int:
    """The best rank among some tokens, counted from 1; of equals the lower id comes first."""
    best = max(ids, key=lambda id: (logits[id].item(), -id))
    before = (logits[:best] == logits[best]).sum()
    return 1 + int((logits > logits[best]).sum() + before)


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


def _parts(pairs: list[Fitted], takes: int, costs: int) -> Iterator[list[Fitted]]:
    """Pairs of which each takes so many bytes and costs so many operations."""
    most = max(1, min(BATCH_MEMORY // takes, int(BATCH_WORK // costs)))
    return (pairs[i : i + most] for i in range(0, len(pairs), most))
