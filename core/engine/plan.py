"""Which runs a sweep has to compute, how much that is, and which go through the blocks together.

Plain Python: it needs no model and no tensors, only their sizes. Three facts make most cells cheap
or free, without any approximation:

- A patch of layer l at position p changes nothing before p and nothing up to layer l, so that a
  patched run is computed from there on only.
- While both texts have the same tokens, both have the same activations: a cell before the first
  differing position is the base itself.
- What is read in the end is the last position. A patch after the last block moves nothing but the
  last position; of the last block, only its query, projection and MLP are needed.

Sizes: L layers, C channels, M of them inside an MLP, H heads, T tokens; N runs with R rows in all,
a row being one position of one run.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from core.engine import layer, tiles
from core.engine.tiles import Extent
from core.engine.work import run_work
from core.question.sites import SITES, Site

# What the rows of one step may take up, in bytes: enough to multiply at full speed, little enough
# for a step to take a fraction of a second, since a sweep can be cancelled between steps only.
WORKING_MEMORY = 48 << 20


class Sizes(NamedTuple):
    """Of a network: layers, channels, channels inside an MLP, heads, and the bytes of one of its
    numbers."""

    L: int
    C: int
    M: int
    H: int
    itemsize: int = 4


class Cell(NamedTuple):
    """One patched run, and its place in the grid."""

    index: tuple[int, ...]
    start: int  # the block before which the run begins to differ from its base
    p: int  # the position from which on it does
    lane: int  # which of the streams of its site it takes: its head's
    until: int  # of a window: the last block after which it is patched again; else -1


@dataclass(frozen=True)
class Plan:
    """A sweep of texts of T tokens whose first difference is at position `differ`, which for an
    ablation is 0. `embedding` and `window` are those of `core.engine.sweep.Sweep`."""

    sizes: Sizes
    T: int
    differ: int
    site_name: str = "resid_post"
    embedding: bool = False
    window: int = 0

    def __post_init__(self):
        if self.embedding and self.site_name != "resid_post":
            raise ValueError(f"only resid_post has an embedding row, not {self.site_name}")
        if self.window and not self.site.window:
            raise ValueError(f"{self.site_name} has no windows")

    @property
    def site(self) -> Site:
        return SITES[self.site_name]

    @property
    def lowest(self) -> int:
        """The layer of the first row; the embedding is -1."""
        return -1 if self.embedding else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the grid, by the site's axes."""
        sizes = {"layer": self.sizes.L - self.lowest, "head": self.sizes.H, "position": self.T}
        return tuple(sizes[axis] for axis in self.site.axes)

    @cached_property
    def cells(self) -> list[Cell]:
        """Every run that has to be computed, those that begin last first."""
        return list(self._cells())

    def _cells(self) -> Iterator[Cell]:
        heads = range(self.sizes.H) if "head" in self.site.axes else range(1)
        positions = range(self.differ, self.T)
        if "position" not in self.site.axes:
            positions = positions[:1]  # a patch of all begins to matter at the first that differs
        for row in reversed(range(self.lowest, self.sizes.L)):
            # A window is one of layers: it never reaches the embedding, nor does that have one.
            first = max(row - self.window, 0) if row >= 0 else row
            until = min(row + self.window, self.sizes.L - 1) if self.window and row >= 0 else -1
            start = first if self.site.before_layer else first + 1
            for head in heads:
                for p in positions:
                    place = {"layer": row - self.lowest, "head": head, "position": p}
                    index = tuple(place[axis] for axis in self.site.axes)
                    yield Cell(index, start, p, head, until)

    @property
    def rows(self) -> int:
        """How many times a row goes through a block: what progress is measured in."""
        return sum((self.T - cell.p) * (self.sizes.L - cell.start) for cell in self.cells)

    @cached_property
    def work(self) -> int:
        """Floating-point operations of the sweep, at the least (see `core.engine.work`)."""
        L, C, M, _, _ = self.sizes
        everywhere = "position" not in self.site.axes
        return sum(
            run_work(L, C, M, self.T, cell.start, cell.p, self.T - cell.p if everywhere else 1)
            for cell in self.cells
        )

    @property
    def states_bytes(self) -> int:
        """What the final states of all cells take up."""
        return math.prod(self.shape) * self.sizes.C * self.sizes.itemsize

    @property
    def memory(self) -> tuple[int, int]:
        """What the sweep's tensors take above the weights and the plain runs, in bytes: what stays
        to its end (the states, a chunk's stream and its largest tensors), and what is made between:
        the largest step, and the streams that are patched in."""
        stream, buffer, step = largest(chunks([self]))
        stays = self.states_bytes + stream + buffer
        return stays, self.patched_bytes + max(step, self.making_bytes)

    @property
    def patched_bytes(self) -> int:
        """What the streams after a layer take that are patched in, one for each head."""
        lanes = self.sizes.H if "head" in self.site.axes else 1
        return self.sizes.itemsize * lanes * self.T * self.sizes.C

    @property
    def making_bytes(self) -> int:
        """What making the next of these takes: twice as much, an MLP some rows at a time, and
        patterns."""
        (_, C, M, H, itemsize), T = self.sizes, self.T
        rows = min(layer.ROWS_AT_ONCE, self.patched_bytes // (itemsize * C))
        return 2 * self.patched_bytes + itemsize * 2 * (C + M) * rows + 4 * 3 * H * T * T


plan_of = lru_cache(maxsize=64)(Plan)  # the same for all pairs of one shape, its cells with it


class Chunk(NamedTuple):
    """Runs that go through the blocks together, each with the number of its sweep."""

    runs: list[tuple[int, Cell]]
    tiles: list[int]  # of each run, in which tile it attends; of those that go through no block, 0
    extent: Extent  # of the runs that do
    bytes: tuple[int, int, int]  # of its stream, its largest tensors, and the rest of a step


def chunks(plans: Iterable[Plan], budget: int | None = None) -> list[Chunk]:
    """The runs of several sweeps of one model and one T in parts that take up `budget` bytes at
    the most, by default WORKING_MEMORY, but one run at least."""
    budget = WORKING_MEMORY if budget is None else budget
    found: list[Chunk] = []
    runs: list[tuple[int, Cell]] = []
    of_runs: list[int] = []
    extent, taken = Extent(), (0, 0, 0)
    before = -1, -1  # of the run before, the sweep and the block before which it begins
    for number, plan in enumerate(plans):
        for cell in plan.cells:
            if cell.start < plan.sizes.L:
                run, begins = (plan.T, cell.p, plan.T - plan.differ), (number, cell.start)
                grown = extent.grown(
                    *run, joins=before == begins, new_base=not extent.N or before[0] != number
                )
                takes = _bytes(plan, grown)
                if extent.N and sum(takes) > budget:
                    found.append(Chunk(runs, of_runs, extent, taken))
                    runs, of_runs = [], []
                    grown = Extent().grown(*run, joins=False, new_base=True)
                    takes = _bytes(plan, grown)
                extent, taken, before = grown, takes, begins
            runs.append((number, cell))
            of_runs.append(max(0, extent.n - 1))
    return [*found, Chunk(runs, of_runs, extent, taken)] if runs else found


def _bytes(plan: Plan, extent: Extent) -> tuple[int, int, int]:
    (_, C, M, _, itemsize), T = plan.sizes, plan.T
    buffer = itemsize * tiles.buffer_size(extent, T, C, M, itemsize)
    return itemsize * extent.R * C, buffer, tiles.step_bytes(extent, C, M, itemsize)


def largest(parts: list[Chunk]) -> tuple[int, int, int]:
    """The most bytes that any chunk needs for its stream, its largest tensors, and the rest."""
    return tuple(
        max(sizes) for sizes in zip((0, 0, 0), *(part.bytes for part in parts), strict=True)
    )


def first_difference(one: tuple, other: tuple) -> int:
    """The position before which no patch changes anything: the first at which two texts of one
    length differ. Raises ValueError for texts of unequal length."""
    same = [a == b for a, b in zip(one, other, strict=True)]
    return same.index(False) if False in same else len(same)
