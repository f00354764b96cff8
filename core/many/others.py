"""What other pairs put into one: the mean over all their clean runs (dataset mean ablation), or the
activation of one of them (resample ablation), at the same column of the map.

A column is a position or, where pairs share a map by role, a role; of several tokens that a role
stands for it is their mean. Where the last position has a role, it is in the role's column and in
its own. What a patch covers that is in no column stays as it is.

Only what one site has at the columns is ever kept: of a mean for all pairs together, else for those
that are swept together.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch

from core.engine.plan import Sizes
from core.engine.runs import Replacement, Run
from core.errors import UserError
from core.many.fitting import Fitted
from core.many.pairs import place
from core.many.values import FromOthers
from core.question.experiment import DIRECTIONS, Experiment
from core.question.sites import SITES
from mingpt.model import GPT

_DIGITS = 12


class Given(NamedTuple):
    """An activation at K columns, (L, ..., K, X), and the input of block 0 there, (K, C)."""

    layers: torch.Tensor
    embedding: torch.Tensor | None


Source = Given | dict[str, Fitted]  # the mean for all, or for the id of each pair another


class Others:
    """The pairs that put something into each other under a question. Raises UserError where there
    is but one, and where what is patched is nothing that pairs have in common."""

    def __init__(self, pairs: Sequence[Fitted], asked: Experiment, seed: int = 0):
        called = f"{DIRECTIONS[asked.direction].title} ({asked.direction})"
        if len(pairs) < 2:
            raise UserError(f"{called} needs two pairs that are used, and there is one.", "file")
        if pairs[0].has_roles and asked.site == "head_pattern":
            raise UserError(
                f"{called} of head_pattern needs pairs without roles, all of one length: a pattern"
                " says how much of its attention a token pays to each token of its own text, and"
                " texts of different shape have none of these in common. Patch head_q or head_k,"
                " which make the pattern.",
                "site",
            )
        self.pairs = sorted(pairs, key=lambda pair: place(pair.pair))
        # The same whatever order the pairs are in, and what their rows are called.
        self._digests = {pair.pair.id: _sha256(_content(pair)) for pair in pairs}
        self._whole = _sha256(sorted(self._digests.values()))
        self.is_mean = asked.direction == "dataset_mean"
        self.about = FromOthers(
            len(pairs),
            self._whole[:_DIGITS],
            pairs[0].has_roles,
            None if self.is_mean else seed,
        )
        self.drawn = {} if self.is_mean else self._draw(seed)

    def digest(self, pair: Fitted) -> str:
        """What stands for all that is put into a pair."""
        return self._whole if self.is_mean else self._digests[self.drawn[pair.pair.id].pair.id]

    def _draw(self, seed: int) -> dict[str, Fitted]:
        """For the id of each pair another, every one for one: the next in a circle whose order the
        seed and what pairs hold decide, not where their rows stand."""
        times: Counter[str] = Counter()
        order = []
        for pair in self.pairs:
            content = self._digests[pair.pair.id]
            times[content] += 1  # else a row that is there twice would be next to itself
            order.append((_sha256([seed, content, times[content]]), pair))
        order.sort(key=lambda of: of[0])
        return {pair.pair.id: order[i - 1][1] for i, (_, pair) in enumerate(order)}


def _content(pair: Fitted) -> list:
    return [pair.clean, pair.corrupted, pair.target, pair.foil, pair.columns]


def _sha256(of: str | list) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def activation(site: str) -> str:
    """What `core.engine.layer.Layer` calls what a site patches."""
    return site.removeprefix("head_").removesuffix("_position")


def given_bytes(sizes: Sizes, pair: Fitted, asked: Experiment) -> int:
    """What a `Given` of pairs that share their columns takes up."""
    K, L, C = len(pair.columns), sizes.L, sizes.C
    row = sizes.H * len(pair.clean) if asked.site == "head_pattern" else C
    return 4 * K * (L * row + asked.embedding * C)


@torch.inference_mode()
def given_by(run: Run, pair: Fitted, model: GPT, asked: Experiment) -> Given:
    """What the clean run of a pair has in the columns, in float32."""
    K, T = len(pair.columns), len(pair.clean)
    mean = run.resid.new_zeros(K, T, dtype=torch.float)  # (K, T), of the positions of each column
    for column, (_, at) in enumerate(pair.columns):
        mean[column, list(at)] = 1 / len(at)
    name, layers = activation(asked.site), len(run.qkv)
    found: torch.Tensor | None = None  # filled layer by layer: all of a run would be much
    for layer in range(layers):
        own = mean @ getattr(run.layer(model, layer), name).float()
        found = own.new_empty(layers, *own.shape) if found is None else found
        found[layer] = own
    return Given(found, mean @ run.resid[0].float() if asked.embedding else None)


def places(pair: Fitted, asked: Experiment) -> list[dict[int, int]]:
    """Which column each position takes what is put in from, position -> column: for one sweep, and
    for another of the last position, where that is in two columns."""
    columns = list(enumerate(at for _, at in pair.columns))
    first = {p: column for column, at in reversed(columns) for p in at}  # a role comes first
    last, _ = columns[-1]
    end = len(pair.clean) - 1
    is_in_two = "position" in SITES[asked.site].axes and first[end] != last
    return [first, {end: last}] if is_in_two else [first]


def replacements(run: Run, pair: Fitted, asked: Experiment, given: Given) -> list[Replacement]:
    """What to put into a run of a pair: a source for each of its sweeps."""
    name = activation(asked.site)
    return [Replacement(run, name, *given, at) for at in places(pair, asked)]
