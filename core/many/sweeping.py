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

from core.engine.plan import Plan, chunks, first_difference, largest, plan_of
from core.engine.runs import Run, record, run_bytes
from core.engine.sweep import Sweep, sizes_of, together
from core.engine.work import plain_work
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
# And how much there may be to compute, in floating-point operations: a second's or so, since a
# batch's numbers come in at its end; larger ones are hardly quicker.
BATCH_WORK = 3e11
# What the rows that go through a block together may take up: larger products are quicker.
PACK_MEMORY = 96 << 20
_SMALL_THINGS = 1.05  # of memory: where the rows are, what is screened; measured, under 3 percent


def screen(batch: Sequence[Fitted], model: LoadedModel) -> list[Screened]:
    """What the model says to both plain runs of pairs of one length."""
    return _screened(batch, _recorded(batch, model), model)


def screenings(pairs: Sequence[Fitted], model: LoadedModel) -> Iterator[list[Fitted]]:
    """The pairs in turn, in parts that are screened together."""
    sizes = sizes_of(model.gpt)
    for T, same in groupby(pairs, key=lambda pair: len(pair.clean)):
        takes = 2 * run_bytes(sizes.L, T, sizes.C, sizes.itemsize)
        costs = plain_work(sizes.L, sizes.C, sizes.M, T, 0)
        yield from _parts(list(same), takes, costs)


def batches(
    pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment
) -> Iterator[list[Fitted]]:
    """The pairs in parts that are swept together: of one length each, short ones first, and as many
    as BATCH_MEMORY and BATCH_WORK have room for, but one at the least."""
    by_length = sorted(pairs, key=lambda pair: len(pair.clean))
    for _, same in groupby(by_length, key=lambda pair: len(pair.clean)):
        pairs = list(same)
        plans = {_plan(pair, model, asked) for pair in pairs}
        takes = max(2 * run_bytes(*_run_sizes(plan)) + plan.states_bytes for plan in plans)
        yield from _parts(pairs, takes, max(map(_work, plans)))


def work_of(pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment) -> int:
    """Floating-point operations of the plain runs and the sweeps of pairs, at the least."""
    return sum(_work(_plan(pair, model, asked)) for pair in pairs)


def memory_of(pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment) -> int:
    """The most bytes that a batch of pairs takes above the weights: the plain runs, the states and
    the streams that are patched in of its pairs, and the largest pack of their rows."""
    most = 0
    for batch in batches(pairs, model, asked):
        plans = [_plan(pair, model, asked) for pair in batch]
        runs = 2 * len(batch) * run_bytes(*_run_sizes(plans[0]))
        stays = sum(plan.states_bytes + plan.patched_bytes for plan in plans)
        stream, buffer, step = largest(chunks(plans, PACK_MEMORY))
        step = max(step, plans[0].making_bytes)
        # Recording makes, of every position, the hidden layer of an MLP and its activation, and in
        # the attention queries, keys, values and their copies.
        _, C, M, _, itemsize = plans[0].sizes
        recording = 2 * len(batch) * plans[0].T * itemsize * (2 * M + 10 * C)
        most = max(most, runs + max(recording, stays + stream + buffer + step))
    return round(_SMALL_THINGS * most)


def sweep(
    batch: Sequence[Fitted], model: LoadedModel, asked: Experiment, metrics: Sequence[str]
) -> Steps[list[Swept]]:
    """The map of every pair of a batch, all of one length. Of `asked` the texts, target and foil do
    not matter. Raises UserError as `core.engine.sweep.Sweep` does."""
    recorded, (base, source) = _recorded(batch, model), sides(asked.direction)
    what = asked.site, asked.embedding, asked.window
    sweeps = [Sweep(model.gpt, runs[base], runs.get(source, source), *what) for runs in recorded]
    yield from together(sweeps, PACK_MEMORY)
    screened = _screened(batch, recorded, model)
    values = (_read(*of, model, metrics) for of in zip(batch, recorded, sweeps, strict=True))
    return [Swept(*of) for of in zip(batch, screened, values, strict=True)]


def _plan(pair: Fitted, model: LoadedModel, asked: Experiment) -> Plan:
    is_patched = sides(asked.direction)[1] in SIDES  # an ablation changes the text from its start
    differ = first_difference(pair.clean, pair.corrupted) if is_patched else 0
    what = asked.site, asked.embedding, asked.window
    return plan_of(sizes_of(model.gpt), len(pair.clean), differ, *what)


def _run_sizes(plan: Plan) -> tuple[int, int, int, int]:
    return plan.sizes.L, plan.T, plan.sizes.C, plan.sizes.itemsize


def _work(plan: Plan) -> int:
    """Operations of a sweep and its plain runs."""
    L, C, M, _, _ = plan.sizes
    return plan.work + plain_work(L, C, M, plan.T, plan.differ)


@torch.inference_mode()
def _screened(
    batch: Sequence[Fitted], recorded: Sequence[dict[str, Run]], model: LoadedModel
) -> list[Screened]:
    unembedding = Unembedding(model.gpt.lm_head.weight)
    states = torch.stack([runs[side].state for side in SIDES for runs in recorded])
    said = dict(zip(SIDES, unembedding.logits(states).chunk(2), strict=True))  # (pairs, V) each
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
    ends = torch.stack([runs[side].state for side in SIDES])
    every = States(torch.cat([ends, made.states.flatten(0, -2)]), unembedding)  # read in one go
    clean, corrupted = (States(end, unembedding) for end in ends)
    baselines, grids = {}, {}
    for metric in metrics:
        (*both,), grid = np.split(
            measure(metric, every, clean, corrupted, pair.target, pair.foil), [2]
        )
        baselines[metric] = tuple(map(float, both))
        grids[metric] = grid.reshape(made.shape)
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
