"""Many pairs through one model: screened by plain runs, then swept, packed together.

Pairs of one length share each matrix product (`core.engine.sweep.together`), every run attending to
the base of its own pair, so that short texts and small models reach the rate of large products.
Of each pair the numbers of the map are kept, never its states: memory is that of one batch, however
many pairs there are. What a pair gives depends on it alone, not on those beside it.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch

from core.engine.plan import Plan, chunks, first_difference, largest, plan_of
from core.engine.runs import Run, record, run_bytes
from core.engine.sweep import Sweep, sizes_of, together
from core.engine.work import plain_work, run_work
from core.many.fitting import Fitted
from core.many.others import Given, Source, given_by, given_bytes, places, replacements
from core.many.values import Screened, Swept, Values
from core.models import LoadedModel
from core.question.experiment import DIRECTIONS, SIDES, Experiment
from core.question.tokens import token
from core.reading.states import States, measure
from core.reading.unembed import Unembedding
from core.steps import Steps
from core.study import sides

# What the plain runs and the final states of a batch may take up, in bytes.
BATCH_MEMORY = 96 << 20
# And how much there may be to compute, in floating-point operations: two seconds or so, since a
# batch's numbers come in at its end; larger ones are hardly quicker.
BATCH_WORK = 4.5e11
# And how many pairs: with small models most of the time is for what is no product.
BATCH_PAIRS = 100
# What the rows may take up that go through a block together: larger products are quicker.
PACK_MEMORY = 48 << 20
_A_FEW = 4  # pairs: fewer together are not quicker than alone
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
    pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment, workers: int = 1
) -> Iterator[list[Fitted]]:
    """The pairs in parts that are swept together: of one length each, short ones first, and as many
    as BATCH_MEMORY, BATCH_WORK and BATCH_PAIRS have room for, but one at the least. Of each length
    they are a multiple of the `workers`, if that leaves them a few pairs."""
    by_length = sorted(pairs, key=lambda pair: len(pair.clean))
    for _, same in groupby(by_length, key=lambda pair: len(pair.clean)):
        pairs = list(same)
        plans = {_plans(pair, model, asked) for pair in pairs}
        states = max(sum(plan.states_bytes for plan in of) for of in plans)
        runs = 2 * run_bytes(*_run_sizes(next(iter(plans))))
        takes = runs + states + _given_bytes(pairs[:1], model, asked)
        yield from _parts(pairs, takes, max(_work(of, asked) for of in plans), workers)


def work_of(pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment) -> int:
    """Floating-point operations of the plain runs and the sweeps of pairs, at the least."""
    return sum(_work(_plans(pair, model, asked), asked) for pair in pairs)


def memory_of(
    pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment, at_once: int = 1
) -> int:
    """The most bytes that pairs take above the weights, so many batches `at_once`: of each the
    plain runs, the states and the streams that are patched in of its pairs, and the largest pack of
    their rows; and what other pairs put in."""
    most = most_given = 0
    parts = list(batches(pairs, model, asked, at_once))
    at_once = min(at_once, len(parts))
    for batch in parts:
        plans = [plan for pair in batch for plan in _plans(pair, model, asked)]
        runs = 2 * len(batch) * run_bytes(*_run_sizes(plans))
        stays = sum(plan.states_bytes + plan.patched_bytes for plan in plans)
        stream, buffer, step = largest(chunks(plans, PACK_MEMORY))
        step = max(step, plans[0].making_bytes)
        recording = 2 * len(batch) * recording_bytes(*plans[:1])
        given = _given_bytes(batch, model, asked)
        takes = given + runs + max(recording, stays + stream + buffer + step)
        most = max(most, at_once * takes)
        most_given = max(most_given, given)
    if DIRECTIONS[asked.direction].of_many and pairs:  # the clean runs by themselves
        for part in screenings(sorted(pairs, key=lambda pair: len(pair.clean)), model):
            plan, *_ = _plans(part[0], model, asked)
            run = run_bytes(*_run_sizes([plan])) + recording_bytes(plan)
            most = max(most, most_given + len(part) * run)
        if _mean_is_put_in(asked):  # with its sums, in double precision
            most += 3 * given_bytes(sizes_of(model.gpt), pairs[0], asked)
    return round(_SMALL_THINGS * most)


def recording_bytes(plan: Plan) -> int:
    """What recording a run makes in passing: of every position the hidden layer of an MLP and its
    activation, and in the attention queries, keys, values and their copies."""
    _, C, M, _, itemsize = plan.sizes
    return plan.T * itemsize * (2 * M + 10 * C)


def sweep(
    batch: Sequence[Fitted],
    model: LoadedModel,
    asked: Experiment,
    metrics: Sequence[str],
    others: Source | None = None,
) -> Steps[list[Swept]]:
    """The map of every pair of a batch, all of one length. Of `asked` the texts, target and foil do
    not matter; `others` is what a direction `of_many` puts in. Raises UserError as
    `core.engine.sweep.Sweep` does."""
    given = [] if others is None else _given_to(batch, model, asked, others)
    recorded, (base, source) = _recorded(batch, model), sides(asked.direction)
    what = asked.site, asked.embedding, asked.window
    sources = [[runs.get(source, source)] for runs in recorded]
    if given:
        of_each = zip(recorded, batch, given, strict=True)
        sources = [replacements(runs[base], pair, asked, own) for runs, pair, own in of_each]
    sweeps = [
        [Sweep(model.gpt, runs[base], of, *what) for of in own]
        for runs, own in zip(recorded, sources, strict=True)
    ]
    yield from together([made for own in sweeps for made in own], PACK_MEMORY)
    screened = _screened(batch, recorded, model)
    values = _values(batch, recorded, sweeps, model, metrics, base)
    return [Swept(*of) for of in zip(batch, screened, values, strict=True)]


def mean_of(pairs: Sequence[Fitted], model: LoadedModel, asked: Experiment) -> Steps[Given]:
    """What a dataset mean ablation puts in: the mean over the clean runs of pairs."""
    sums: list[torch.Tensor] = []
    by_length = sorted(pairs, key=lambda pair: len(pair.clean))
    done = 0
    for part in screenings(by_length, model):
        runs = record(model.gpt, *(pair.clean for pair in part))
        for run, pair in zip(runs, part, strict=True):
            given = [of for of in given_by(run, pair, model.gpt, asked) if of is not None]
            # In double precision, so that it does not matter in which order they are added.
            sums = sums or [torch.zeros(of.shape, dtype=torch.double) for of in given]
            for total, of in zip(sums, given, strict=True):
                total += of.cpu()
        done += len(part)
        yield done / len(pairs)
    layers, *embedding = ((total / len(pairs)).float() for total in sums)
    return Given(layers, *(embedding or [None]))


def _given_to(
    batch: Sequence[Fitted], model: LoadedModel, asked: Experiment, others: Source
) -> list[Given]:
    """What is put into each pair of a batch."""
    if isinstance(others, Given):
        device = model.gpt.lm_head.weight.device
        return [Given(*(of if of is None else of.to(device) for of in others))] * len(batch)
    drawn = [others[pair.pair.id] for pair in batch]
    found: dict[str, Given] = {}
    for part in screenings(sorted(drawn, key=lambda pair: len(pair.clean)), model):
        runs = record(model.gpt, *(pair.clean for pair in part))
        for run, pair in zip(runs, part, strict=True):
            found[pair.pair.id] = given_by(run, pair, model.gpt, asked)
    return [found[pair.pair.id] for pair in drawn]


def _given_bytes(batch: Sequence[Fitted], model: LoadedModel, asked: Experiment) -> int:
    """What `_given_to` takes up for each pair of a batch, of those that are not the mean of all."""
    if not DIRECTIONS[asked.direction].of_many or _mean_is_put_in(asked):
        return 0
    return sum(given_bytes(sizes_of(model.gpt), pair, asked) for pair in batch)


def _mean_is_put_in(asked: Experiment) -> bool:
    return asked.direction == "dataset_mean"


def _plans(pair: Fitted, model: LoadedModel, asked: Experiment) -> tuple[Plan, ...]:
    """Of all sweeps of a pair: of more than one where `places` says so."""
    if DIRECTIONS[asked.direction].of_many:
        differ = [min(at) for at in places(pair, asked)]
    elif sides(asked.direction)[1] in SIDES:
        differ = [first_difference(pair.clean, pair.corrupted)]
    else:  # an ablation changes the text from its start
        differ = [0]
    what = asked.site, asked.embedding, asked.window
    return tuple(plan_of(sizes_of(model.gpt), len(pair.clean), of, *what) for of in differ)


def _run_sizes(plans: Sequence[Plan]) -> tuple[int, int, int, int]:
    plan, *_ = plans
    return plan.sizes.L, plan.T, plan.sizes.C, plan.sizes.itemsize


def _work(plans: Sequence[Plan], asked: Experiment) -> int:
    """Operations of a pair's sweeps and its plain runs, that of another pair among them."""
    plan, *_ = plans
    L, C, M, _, _ = plan.sizes
    operations = sum(of.work for of in plans) + plain_work(L, C, M, plan.T, plan.differ)
    if DIRECTIONS[asked.direction].of_many:
        operations += run_work(L, C, M, plan.T, 0, 0, plan.T)
    return operations


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


def _values(
    batch: Sequence[Fitted],
    recorded: Sequence[dict[str, Run]],
    sweeps: Sequence[Sequence[Sweep]],
    model: LoadedModel,
    metrics: Sequence[str],
    base: str,
) -> list[Values]:
    """What the sweeps of each pair say; a second one is that of the last column alone. The whole
    vocabulary is gone through for all pairs at once, and of a sweep's cells for those that differ
    from its `base` run."""
    unembedding = Unembedding(model.gpt.lm_head.weight)
    plain = [torch.stack([runs[side].state for runs in recorded]) for side in SIDES]  # (pairs, C)
    moved = [made.states[made.moved] for own in sweeps for made in own]
    every, clean = States(torch.cat((*plain, *moved)), unembedding), States(plain[0], unembedding)
    read, n = [], 2 * len(batch)
    for i, (pair, own) in enumerate(zip(batch, sweeps, strict=True)):
        ends = [i, len(batch) + i]  # which of every state the pair's plain runs' are
        found = []
        for made in own:
            cells = torch.full(made.shape, ends[SIDES.index(base)])
            cells[made.moved] = torch.arange(n, n := n + int(made.moved.sum()))
            of = every.at(torch.cat((torch.tensor(ends), cells.flatten())))
            found.append(_read(pair, made, of, clean.at(i), every.at(ends[1]), metrics))
        values, *of_last = found
        for last in of_last:
            for metric, grid in last.grids.items():
                values.grids[metric][..., -1] = grid[..., -1]
        read.append(values)
    return read


def _read(
    pair: Fitted,
    made: Sweep,
    states: States,
    clean: States,
    corrupted: States,
    metrics: Sequence[str],
) -> Values:
    """What one sweep of a pair says: of `states`, both plain runs' and then the cells'."""
    baselines, grids = {}, {}
    for metric in metrics:
        (*both,), grid = np.split(
            measure(metric, states, clean, corrupted, pair.target, pair.foil), [2]
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


def _parts(pairs: list[Fitted], takes: int, costs: int, workers: int = 1) -> Iterator[list[Fitted]]:
    """Pairs of which each takes so many bytes and costs so many operations, in even parts."""
    most, n = max(1, min(BATCH_MEMORY // takes, int(BATCH_WORK // costs), BATCH_PAIRS)), len(pairs)
    parts = math.ceil(n / most)
    parts = max(parts, min(workers * math.ceil(parts / workers), n // _A_FEW))
    return (pairs[n * i // parts : n * (i + 1) // parts] for i in range(parts))
