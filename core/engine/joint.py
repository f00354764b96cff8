"""Joint runs: any set of activations replaced at once, many sets, exact.

The plain way is one hooked run for each set. What makes that cheap, without any approximation:

- A set changes nothing before its first layer and its first position, nor where the texts are the
  same still; from there on alone its run is computed (`core.engine.suffix`, `core.engine.last`).
- Two sets that are the same up to a layer are the same run up to it, and on into the next block up
  to what its heads put out. So runs are computed as a tree that branches where sets part, its root
  being the base: of the 144 sets that grow head by head, block 0 sees 12 runs and only the last one
  all of them.
- Sets of several bases of one length go through the blocks as one matrix, trees side by side.

Shapes: T tokens, L layers, C channels, H heads of D = C / H channels; N runs with R rows in all, of
P bases.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from core.engine import last, plan, suffix
from core.engine.layer import Ablated, Layer
from core.engine.plan import Sizes
from core.engine.runs import Run, check_ready, layer_of, not_finite
from core.engine.sweep import sizes_of
from core.engine.work import block_work
from core.question.components import Component
from mingpt.model import GPT

# A kind of component -> the activation that it is.
ACTIVATIONS = {"head": "z", "attn": "attn_out", "mlp": "mlp_out"}
ACTIVATIONS |= {"resid": "resid_post", "embedding": "resid_pre"}
_EVERYWHERE = -1  # as a position

Edit = tuple[str, int, int]  # a site, its head or 0, and a position
Edits = tuple[Edit, ...]


class Joint:
    """`source`'s activations of each of `sets` of components put into `base`, all at once; what is
    of no component follows from them. Of a component within another of its set, as a head is within
    its layer's attention output, the larger one counts.

    `source` is a run of as many tokens, or "zero" or "position_mean" to ablate, as in a `Sweep`.
    `states` has, of each set's run, the last position after the final LayerNorm: (len(sets), C),
    NaN where it is not known yet; that of a set which changes nothing is the base's own. Iterating
    computes them, and yields the fraction of the work that is done; whoever stops iterating
    cancels. Raises UserError for a model in training mode and, while iterating, for numbers that
    are not finite; ValueError for texts of unequal length, and for a component the model or the
    text has not.
    """

    def __init__(
        self,
        model: GPT,
        base: Run,
        source: Run | str,
        sets: Sequence[Iterable[Component]],
    ):
        check_ready(model)
        self.model, self.base, self.source = model, base, source
        self.sizes, self.T = sizes_of(model), len(base.ids)
        ablation = isinstance(source, str)
        self.differ = 0 if ablation else plan.first_difference(base.ids, source.ids)
        self.states = base.state.new_full((len(sets), len(base.state)), torch.nan)
        # By layer, -1 first -> which they are.
        self.sets: dict[tuple[Edits, ...], list[int]] = {}
        found: dict[Component, Edit | None] = {}
        for number, components in enumerate(sets):
            by_layer: list[set[Edit]] = [set() for _ in range(self.sizes.L + 1)]
            for of in components:
                edit = found[of] if of in found else found.setdefault(of, self._edit(of))
                if edit:
                    by_layer[of.layer + 1].add(edit)
            edits = tuple(tuple(sorted(of)) for of in by_layer)
            if any(edits):
                self.sets.setdefault(edits, []).append(number)
            else:
                self.states[number] = base.state

    def _edit(self, of: Component) -> Edit | None:
        """What a component stands for; None where the texts are the same still."""
        given = (of.layer + 1, self.sizes.L + 1), (of.head, self.sizes.H), (of.position, self.T)
        if any(number is not None and not 0 <= number < size for number, size in given):
            raise ValueError(f"there is no {of} in this model and text")
        if self.differ > (self.T - 1 if of.position is None else of.position):
            return None
        position = _EVERYWHERE if of.position is None else of.position
        return ACTIVATIONS[of.kind], of.head or 0, position

    @property
    def rows(self) -> int:
        """How many times a row goes through a block."""
        return sum(tree.rows for tree in _trees([self]))

    @property
    def work(self) -> int:
        """Floating-point operations, at the least (see `core.engine.work`)."""
        (L, C, M, H, _), T = self.sizes, self.T
        row = 2 * C**2 + 4 * C * M  # after the attention
        work = 0
        for tree in _trees([self]):
            for layer, (before, level) in enumerate(pairwise(tree.levels)):
                if layer == L - 1:
                    work += row * len(level.p)
                    work += sum(last.work(C, M, H, T, T - p) - row for p in before.p.tolist())
                else:
                    work += row * len(level.run) - row * len(before.run)
                    work += sum(block_work(C, M, T, p, T - p) for p in before.p.tolist())
        return work

    @property
    def memory(self) -> tuple[int, int]:
        """What the tensors take above the weights and the plain runs, in bytes: what stays to the
        end, and what is made in one step."""
        return memory([self])

    def __iter__(self) -> Iterator[float]:
        return together([self])


def together(joints: Sequence[Joint], budget: int | None = None) -> Iterator[float]:
    """Compute joint runs of one model and of texts of one length together, and yield the fraction
    of all their work that is done. `budget` is that of `plan.chunks`."""
    trees = _trees(joints, budget)
    done, total = 0, sum(tree.rows for tree in trees)
    if trees:
        model, (_, C, M, _, _), T = joints[0].model, joints[0].sizes, joints[0].T
        new = joints[0].base.state.new_empty
        # What goes through a block is written beside what came out of the one before.
        streams = [new(max(of.most.bases * T + of.most.rows for of in trees), C) for _ in range(2)]
        buffer = new(max(of.most.buffer_size(T, C, M) for of in trees))
    for tree in trees:
        for layer, level in enumerate(tree.levels, start=-1):
            yield done / total
            streams.reverse()
            ends = tree.step(layer, *streams, buffer)
            done += len(level.run) if layer >= 0 else 0
        with torch.inference_mode():
            states = model.transformer.ln_f(ends)
            if not states.isfinite().all():
                raise not_finite(states.dtype, "a patch")
            for (number, key), run in zip(tree.sets, tree.runs, strict=True):
                of = tree.joints[number]
                of.states[of.sets[key]] = states[run]
    yield 1.0


class Taken(NamedTuple):
    """What runs take that are computed together, in bytes: the streams and the largest tensors,
    and a step."""

    kept: int
    step: int


class Most(NamedTuple):
    """The most runs and rows of them that there are at a time."""

    runs: int
    rows: int  # that go through a block
    attending: tuple[int, int]  # the runs before the last block but one, and their rows
    bases: int

    def buffer_size(self, T: int, C: int, M: int) -> int:
        """How many numbers the largest tensors hold (see `core.engine.suffix`)."""
        before, rows = self.attending
        return max(suffix.buffer_size(rows, before, T, C, 0), M * self.rows)


def taken(sizes: Sizes, T: int, most: Most, first: int) -> Taken:
    """What runs take that begin at the position `first` at the least."""
    (_, C, M, H, itemsize), (N, R, (before, rows), P) = sizes, most
    attention = suffix.step_bytes(rows, before, first, T, C, H, itemsize)
    attention = max(attention, last.step_bytes(R, N, T, C, H))
    step = max(attention + itemsize * rows * C, 3 * itemsize * R * C)
    # The bases' queries, keys and values side by side and their z; and inside the sources' layer.
    of_bases = itemsize * P * (8 * T * C + H * T**2)
    return Taken(itemsize * (2 * (P * T + R) * C + most.buffer_size(T, C, M)), of_bases + step)


def memory(joints: Sequence[Joint], budget: int | None = None) -> tuple[int, int]:
    """`Joint.memory` of several that are computed together."""
    states, trees = sum(joint.states.nbytes for joint in joints), _trees(joints, budget)
    if not trees:
        return states, 0
    sizes, T = joints[0].sizes, joints[0].T
    inside = 4 * 3 * sizes.H * T**2  # what makes a pattern
    kept, step = zip(*(taken(sizes, T, tree.most, tree.first) for tree in trees), strict=True)
    return states + max(kept), max(step) + inside


def _trees(joints: Sequence[Joint], budget: int | None = None) -> list["_Tree"]:
    """The sets in parts that take up `budget` at the most, but one at least; neighbours are alike
    for as many layers as can be. They are taken to share nothing; as a rule they share so much that
    they take half."""
    budget = 2 * plan.WORKING_MEMORY if budget is None else budget
    parts: list[list[tuple[Joint, tuple[Edits, ...]]]] = []
    N = R = P = first = 0
    for joint in joints:
        for number, key in enumerate(sorted(joint.sets)):
            S = joint.T - joint.differ
            grown = Most(N + 1, R + S, (N + 1, R + S), P + (number == 0))
            first = min(first, joint.differ)
            if not parts or sum(taken(joint.sizes, joint.T, grown, first)) > budget:
                parts.append([])
                grown, first = Most(1, S, (1, S), 1), joint.differ
            N, R, _, P = grown
            parts[-1].append((joint, key))
    return [_Tree(part) for part in parts]


class _Places(NamedTuple):
    """Where an activation becomes the source's, arrays over places."""

    row: np.ndarray
    head: np.ndarray
    base: np.ndarray
    position: np.ndarray


@dataclass(frozen=True, eq=False)
class _Level:
    """The runs that there are from one block on to the next; arrays over N runs and their R rows,
    run after run, of each those from its p to the end."""

    parent: np.ndarray  # (N,) the run of the level before, or -1 where it is the base
    base: np.ndarray  # (N,)
    p: np.ndarray  # (N,) the position from which on it differs from the base
    stops: np.ndarray  # (N,) the row behind its last
    run: np.ndarray  # (R,)
    position: np.ndarray  # (R,)
    comes_from: np.ndarray  # (R,) which row it is before the block: of P bases' T, then of others
    places: dict[str, _Places]  # by site

    def rows(self, P: int, device: torch.device) -> suffix.Rows:
        run, position, base = (
            torch.from_numpy(of).to(device) for of in (self.run, self.position, self.base)
        )
        N, every = len(self.p), slice(len(run))
        at = run, position, base if P > 1 else None
        return suffix.Rows(*at, N, N, int(self.p.min()), every, every)


class _Tree:
    """Some sets of `joints`, and level by level, the embedding's first, the different runs there
    are of them; `runs` says which of the last level's is each set's."""

    def __init__(self, sets: Sequence[tuple[Joint, tuple[Edits, ...]]]):
        numbers = {
            joint: number for number, joint in enumerate(dict.fromkeys(of for of, _ in sets))
        }
        self.joints = list(numbers)
        self.T, self.first = self.joints[0].T, min(joint.differ for joint in self.joints)
        self.sets = [(numbers[joint], key) for joint, key in sets]
        none = np.zeros(0, dtype=int)
        level = _Level(*[none] * 7, {})
        self.levels: list[_Level] = []
        self.runs = [-1] * len(sets)
        for edits in zip(*(key for _, key in sets), strict=True):
            bases = (number for number, _ in self.sets)
            keys = list(zip(bases, self.runs, edits, strict=True))
            new = list(dict.fromkeys(key for key in keys if key[1] >= 0 or key[2]))
            number = {key: run for run, key in enumerate(new)}
            level = self._level(level, new, is_last=len(self.levels) == len(sets[0][1]) - 1)
            self.levels.append(level)
            self.runs = [number.get(key, -1) for key in keys]

    def _level(self, before: _Level, new: list[tuple[int, int, Edits]], *, is_last: bool) -> _Level:
        """The runs that continue others, or a base (parent -1), with some edits."""
        T, P, numbers = self.T, len(self.joints), np.arange(len(new))
        base, parent = np.array([key[:2] for key in new], dtype=int).reshape(-1, 2).T
        begun = parent >= 0
        old = np.full(len(new), T)
        old[begun] = before.p[parent[begun]]
        stop = np.zeros(len(new), dtype=int)  # behind the row of its parent's last position
        stop[begun] = P * T + before.stops[parent[begun]]
        differ = [joint.differ for joint in self.joints]
        own = [min((max(at, differ[b]) for *_, at in edits), default=T) for b, _, edits in new]
        p = np.minimum(old, np.array(own, dtype=int))
        stops = np.cumsum(T - p)
        run = np.repeat(numbers, T - p)
        position = np.arange(len(run)) - (stops - T)[run]
        from_base = base[run] * T + position
        comes_from = np.where(position < old[run], from_base, (stop - T)[run] + position)
        sites: dict[str, list[tuple[int, int, int]]] = {}
        for n, (*_, edits) in enumerate(new):
            for site, head, at in edits:
                sites.setdefault(site, []).append((n, head, at))
        places = {}
        for site, edits in sites.items():
            n, head, at = np.array(edits).T
            first = np.where(at == _EVERYWHERE, p[n], at)
            size = np.where(at == _EVERYWHERE, T - p[n], 1)
            edit = np.repeat(np.arange(len(n)), size)
            where = first[edit] + np.arange(len(edit)) - np.repeat(np.cumsum(size) - size, size)
            if is_last:  # of which nothing is read but the ends
                edit, where = edit[where == T - 1], where[where == T - 1]
            row = n[edit] if is_last else (stops - T)[n[edit]] + where
            places[site] = _Places(row, head[edit], base[n[edit]], where)
        return _Level(parent, base, p, stops, run, position, comes_from, places)

    @property
    def rows(self) -> int:
        """How many times a row goes through a block."""
        return sum(len(level.run) for level in self.levels[1:])

    @cached_property
    def most(self) -> Most:
        runs = len(self.levels[-1].p)  # of which the ends alone go through the last block
        earlier, before = (
            [len(of.p), len(of.run)] for of in (*self.levels[:1], *self.levels)[-3:-1]
        )
        return Most(runs, max(before[1], runs), tuple(earlier), len(self.joints))

    @torch.inference_mode()
    def step(
        self, layer: int, after: torch.Tensor, x: torch.Tensor, buffer: torch.Tensor
    ) -> torch.Tensor:
        """Take the runs through a block, from the stream `after` the one before to x, both with
        the bases' rows before those of the runs; gives what is read of x, (R'', C)."""
        (model, sizes), T, P = (
            (self.joints[0].model, self.joints[0].sizes),
            self.T,
            len(self.joints),
        )
        level, device = self.levels[layer + 1], x.device
        if not len(level.p):
            return x[:0]
        is_last = layer == sizes.L - 1
        bases = [joint.base for joint in self.joints]
        for at, base in zip(after.split(T), bases, strict=False):
            at.copy_(base.resid[max(layer, 0)])
        comes_from = torch.from_numpy(level.comes_from).to(device)
        if is_last:
            comes_from = comes_from[torch.from_numpy(level.stops - 1).to(device)]
        rows = torch.index_select(after, 0, comes_from, out=x[P * T :][: len(comes_from)])
        # What several activations of a source need is computed once.
        sources = [layer_of(of.model, of.base, of.source, max(layer, 0)) for of in self.joints]
        edit = partial(_edit, level, sources)
        if layer < 0:
            edit("resid_pre", rows)
            return rows
        block, before = model.transformer.h[layer], self.levels[layer]
        qkv = torch.stack([base.qkv[layer] for base in bases], 1)  # (3, P, H, T, D)
        z = suffix.mix(*qkv, block.attn.scale).transpose(1, 2)  # (P, T, H, D)
        z = z[:, -1] if is_last else z.flatten(0, 1)
        if len(before.p):
            own = block.ln_1(after[P * T :][: len(before.run)])
            where = before.rows(P, device)
            if is_last:
                own = last.attend(block.attn, own, where, qkv)
            else:
                own = suffix.attend(block.attn, own, where, qkv, buffer)
            z = torch.cat([z, own])
        if is_last:
            of = np.where(level.parent < 0, level.base, P + level.parent)
            comes_from = torch.from_numpy(of).to(device)
        return suffix.after(block, rows, z[comes_from], buffer, edit)


def _edit(
    level: _Level, sources: Sequence[Layer | Ablated], site: str, activation: torch.Tensor
) -> None:
    """Put the sources of all bases into an activation (R'', C), or (R'', H, D), of the runs."""
    if site not in level.places or not len(level.places[site].row):
        return
    row, head, base, position = (
        torch.from_numpy(of).to(activation.device) for of in level.places[site]
    )
    source = torch.stack([getattr(of, site) for of in sources])  # (P, T, C), or (P, H, T, D)
    if site == "z":
        activation[row, head] = source[base, head, position]
    else:
        activation[row] = source[base, position]
