"""Joint runs: any set of activations replaced at once, many sets, exact.

The plain way is one hooked run for each set. What makes that cheap, without any approximation:

- A set changes nothing before its first layer and its first position, nor where the texts are the
  same still; from there on alone its run is computed (`core.engine.suffix`).
- Two sets that are the same up to a layer are the same run up to it. So runs are computed as a tree
  that branches where sets part, its root being the base: of the 144 sets that grow head by head,
  block 0 sees 12 runs and only the last one all of them.

Shapes: T tokens, L layers, C channels, H heads of D = C / H channels; N runs with R rows in all.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch

from core.engine import plan, suffix
from core.engine.runs import Run, check_ready, layer_of, not_finite
from core.engine.sweep import sizes_of
from core.engine.tiles import Extent, Tiles, divided
from core.engine.work import block_work
from core.question.components import Component
from mingpt.model import GPT

# A kind of component -> the activation that it is; the embedding is that of layer -1.
ACTIVATIONS = {"head": "z", "attn": "attn_out", "mlp": "mlp_out"}
ACTIVATIONS |= {"resid": "resid_post", "embedding": "resid_post"}
_BASE = -1  # as a parent: the run branches off the base
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
    cancels. Raises
    UserError for a model in training mode and, while iterating, for numbers that are not finite;
    ValueError for texts of unequal length, and for a component the model or the text has not.
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
        self._sets: dict[tuple[Edits, ...], list[int]] = {}  # by layer, -1 first -> which they are
        for number, components in enumerate(sets):
            edits = self._by_layer(components)
            if any(edits):
                self._sets.setdefault(edits, []).append(number)
            else:
                self.states[number] = base.state

    def _by_layer(self, components: Iterable[Component]) -> tuple[Edits, ...]:
        found: list[set[Edit]] = [set() for _ in range(self.sizes.L + 1)]
        for of in components:
            given = (of.layer + 1, self.sizes.L + 1), (of.head, self.sizes.H), (of.position, self.T)
            if any(number is not None and not 0 <= number < size for number, size in given):
                raise ValueError(f"there is no {of} in this model and text")
            position = _EVERYWHERE if of.position is None else of.position
            if self.differ <= (self.T - 1 if of.position is None else position):
                found[of.layer + 1].add((ACTIVATIONS[of.kind], of.head or 0, position))
        return tuple(tuple(sorted(edits)) for edits in found)

    @cached_property
    def _chunks(self) -> list["_Tree"]:
        """The sets in parts that take up WORKING_MEMORY at the most, but one at least; neighbours
        are alike for as many layers as can be."""
        own = sum(self._bytes(divided(self.T, [self.differ])[1]))
        some, sets = max(1, plan.WORKING_MEMORY // own), sorted(self._sets)
        return [_Tree(sets[i : i + some], self.T, self.differ) for i in range(0, len(sets), some)]

    def _bytes(self, extent: Extent) -> tuple[int, int]:
        """What runs take: the two streams and the largest tensors, and a step."""
        (_, C, M, _, itemsize), T, R = self.sizes, self.T, extent.R
        kept = itemsize * (2 * (T + R) * C + suffix.buffer_size(extent, T, C, M))
        return kept, suffix.step_bytes(extent, C, M, itemsize) + 2 * itemsize * R * C

    @property
    def rows(self) -> int:
        """How many times a row goes through a block."""
        return sum(len(level.run) for tree in self._chunks for level in tree.levels[1:])

    @property
    def work(self) -> int:
        """Floating-point operations, at the least (see `core.engine.work`)."""
        L, C, M, _, _ = self.sizes
        return sum(
            block_work(C, M, self.T, p, 0 if parent == _BASE else self.T - p, last=layer == L - 1)
            for tree in self._chunks
            for layer, level in enumerate(tree.levels[1:])
            for p, parent in zip(level.p.tolist(), level.parent.tolist(), strict=True)
        )

    @property
    def memory(self) -> tuple[int, int]:
        """What the tensors take above the weights and the plain runs, in bytes: what stays to the
        end, and what is made in one step."""
        (_, C, _, H, itemsize), T = self.sizes, self.T
        sizes = [self._bytes(extent) for extent in self._extents]
        kept, step = (max(of) for of in zip((0, 0), *sizes, strict=True))
        inside = 2 * itemsize * T * C + 4 * 3 * H * T * T
        return self.states.nbytes + kept, max(step, inside)

    @cached_property
    def _extents(self) -> list[Extent]:
        """What the runs of each level come to."""
        levels = [level for tree in self._chunks for level in tree.levels]
        return [divided(self.T, level.p.tolist())[1] for level in levels]

    def __iter__(self) -> Iterator[float]:
        done, total = 0, self.rows
        if self._sets:
            (_, C, M, _, _), T = self.sizes, self.T
            new = self.base.state.new_empty
            # What goes through a block is written beside what came out of the one before.
            R = max(extent.R for extent in self._extents)
            streams = [new(T + R, C) for _ in range(2)]
            buffer = new(max(suffix.buffer_size(extent, T, C, M) for extent in self._extents))
        for tree in self._chunks:
            for layer, level in enumerate(tree.levels, start=-1):
                yield done / total
                streams.reverse()
                ends = self._step(layer, level, *streams, buffer)
                done += len(level.run) if layer >= 0 else 0
            with torch.inference_mode():
                states = self.model.transformer.ln_f(ends)
                if not states.isfinite().all():
                    raise not_finite(states.dtype, "a patch")
                for key, run in zip(tree.sets, tree.runs, strict=True):
                    self.states[self._sets[key]] = states[run]
        yield 1.0

    @torch.inference_mode()
    def _step(
        self,
        layer: int,
        level: "_Level",
        after: torch.Tensor,
        x: torch.Tensor,
        buffer: torch.Tensor,
    ) -> torch.Tensor:
        """Take the runs of a level through a block, from the stream `after` the one before to x,
        both with the base's T rows before those of the runs; gives what is read of x, (R'', C)."""
        T, (N, R) = self.T, (len(level.p), len(level.run))
        device = x.device
        after[:T] = self.base.resid[max(layer, 0)]
        rows = x[T : T + R]
        torch.index_select(after, 0, torch.from_numpy(level.comes_from).to(device), out=rows)
        run, position = (torch.from_numpy(of).to(device) for of in (level.run, level.position))
        wanted = slice(R)
        if layer == self.sizes.L - 1:
            wanted = torch.from_numpy(level.ends).to(device)
        edit = partial(self._edit, layer, level, run[wanted], position[wanted])
        if layer < 0:
            edit("resid_post", rows)
            return rows
        if not N:
            return rows
        under_way = level.rows_under_way
        p = torch.from_numpy(level.p).to(device)
        tiles = Tiles.of(T, divided(T, level.p.tolist())[0], p, torch.zeros_like(p), 1)
        at = suffix.Rows(run, position, position, slice(under_way), wanted, tiles)
        block = self.model.transformer.h[layer]
        return suffix.step(block, rows, at, [self.base.qkv[layer]], buffer, edit)

    def _edit(
        self,
        layer: int,
        level: "_Level",
        run: torch.Tensor,
        position: torch.Tensor,
        site: str,
        activation: torch.Tensor,
    ) -> None:
        """Put the source into an activation (R'', C), or (R'', H, D), of the runs and positions."""
        replaced = level.replaced(site, self.T, self.sizes.H)  # (N, T), or (N, T, H)
        if replaced is None:
            return
        places = torch.from_numpy(replaced).to(run.device)[run, position].nonzero(as_tuple=True)
        if layer < 0:
            source = layer_of(self.model, self.base, self.source, 0).resid_pre
        else:
            source = getattr(layer_of(self.model, self.base, self.source, layer), site)
        if site == "z":
            source = source.transpose(0, 1)  # (T, H, D)
        activation[places] = source[position[places[0]], *places[1:]]


@dataclass(frozen=True, eq=False)
class _Level:
    """The runs that there are from one block on to the next: those that were under way before it,
    then those that branch off the base in it. Arrays over N runs and their R rows."""

    edits: list[Edits]  # of each run, those in this block
    parent: np.ndarray  # (N,) the run of the level before, or _BASE
    p: np.ndarray  # (N,) the position from which on it differs from the base
    under_way: int  # how many runs are
    run: np.ndarray  # (R,)
    position: np.ndarray  # (R,)
    comes_from: np.ndarray  # (R,) which row it is before the block: of the base's T, then of others
    ends: np.ndarray  # (N,) each run's last row

    @property
    def rows_under_way(self) -> int:
        return int(np.searchsorted(self.run, self.under_way))

    def replaced(self, site: str, T: int, H: int) -> np.ndarray | None:
        """Where a site's activation is the source's: (N, T), of heads (N, T, H); None for
        nowhere."""
        places = [
            (run, head, position)
            for run, edits in enumerate(self.edits)
            for name, head, position in edits
            if name == site
        ]
        if not places:
            return None
        found = np.zeros((len(self.edits), T, H), dtype=bool)
        for run, head, position in places:
            found[run, slice(None) if position == _EVERYWHERE else position, head] = True
        return found if site == "z" else found[..., 0]


class _Tree:
    """Some sets, and level by level, the embedding's first, the different runs there are of them;
    `runs` says which of the last level's is each set's."""

    def __init__(self, sets: list[tuple[Edits, ...]], T: int, differ: int):
        self.sets = sets
        self.levels: list[_Level] = []
        self.runs = [_BASE] * len(sets)
        begin, before = np.zeros(0, dtype=int), np.zeros(0, dtype=int)  # of the level before
        for edits in zip(*sets, strict=True):
            keys = list(zip(self.runs, edits, strict=True))
            new = dict.fromkeys(key for key in keys if key != (_BASE, ()))
            ordered = sorted(new, key=lambda key: key[0] == _BASE)  # those under way first
            number = {key: n for n, key in enumerate(ordered)} | {(_BASE, ()): _BASE}
            parent = np.array([of for of, _ in ordered], dtype=int)
            under_way = int((parent != _BASE).sum())
            old = np.full(len(ordered), T)
            old[:under_way] = before[parent[:under_way]]
            own = [min((max(at, differ) for *_, at in edits), default=T) for _, edits in ordered]
            p = np.minimum(old, np.array(own, dtype=int))
            run = np.repeat(np.arange(len(ordered)), T - p)
            ends = np.cumsum(T - p)
            position = np.arange(len(run)) - (ends - T)[run]
            start = np.zeros(len(ordered), dtype=int)
            start[:under_way] = begin[parent[:under_way]] - before[parent[:under_way]]
            comes_from = np.where(position < old[run], position, T + start[run] + position)
            of = [edits for _, edits in ordered]
            where = run, position, comes_from, ends - 1
            self.levels.append(_Level(of, parent, p, under_way, *where))
            self.runs = [number[key] for key in keys]
            begin, before = ends - (T - p), p
