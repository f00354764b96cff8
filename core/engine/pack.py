"""Where the rows of packed runs are. For two runs of a text of five tokens, one patched at position
1 before block 3, the other at position 3 before block 5:

    position      0  1  2  3  4            the matrix of block 3:   the matrix of block 5:
    run 0         .  #  =  =  =               row 0  run 0, p 1        row 0  run 0, p 1
    run 1         .  .  .  #  =               row 1  run 0, p 2        row 1  run 0, p 2
                                              row 2  run 0, p 3        row 2  run 0, p 3
    .  the base's, read where attended to     row 3  run 0, p 4        row 3  run 0, p 4
    #  the patched position                                            row 4  run 1, p 3
    =  a row that follows from it                                      row 5  run 1, p 4

Runs are in the order in which they begin, so that those under way are the matrix's first rows. In
block 5 only row 4 of run 1 has queries, keys and values of its own; row 5's are still the base's.

Shapes: T tokens, N runs with R rows in all.
"""

from bisect import bisect_right
from collections.abc import Iterator

import torch

from core.engine.plan import Chunk, Plan
from core.engine.tiles import Rows, Tiles


class Pack:
    """The rows of a chunk of runs, of the sweeps that `plans` are of."""

    def __init__(self, chunk: Chunk, plans: list[Plan], device: torch.device):
        # Of each sweep the runs that begin together lie together, as they do in the chunk.
        together = sorted(zip(chunk.runs, chunk.tiles, strict=True), key=lambda of: of[0][1].start)
        runs = [run for run, _ in together]
        self.cells = [cell for _, cell in runs]
        self.start = self.cells[0].start  # the block before which the first run begins
        self._sweep = [sweep for sweep, _ in runs]
        self._starts = [cell.start for cell in self.cells]
        moving = self.runs_until(plans[0].sizes.L - 1)  # the others go through no block
        self.sweeps = sorted(set(self._sweep[:moving]))  # the numbers of those whose runs do
        self._everywhere = ["position" not in plans[sweep].site.axes for sweep in self._sweep]
        T = plans[0].T
        of_sweep = {sweep: n for n, sweep in enumerate(self.sweeps)}
        base = [of_sweep.get(sweep, -1) for sweep in self._sweep]
        self.p, self.lane, self.until, self.base = torch.tensor(
            [(cell.p, cell.lane, cell.until, b) for cell, b in zip(self.cells, base, strict=True)],
            device=device,
        ).T  # (N,) each
        sizes = T - self.p
        self.ends = sizes.cumsum(0) - 1  # (N,) each run's last row
        self._begins = self.ends - sizes + 1  # (N,) its first
        self._rows = [0, *(self.ends + 1).tolist()]  # how many rows the runs before each have
        self.run = torch.arange(len(runs), device=device).repeat_interleave(sizes)  # (R,)
        within = torch.arange(len(self.run), device=device) - self._begins[self.run]
        self.position = self.p[self.run] + within  # (R,)
        self._base_row = self.base[self.run] * T + self.position  # (R,) the base's in its place
        tiles = [tile for _, tile in together[:moving]]
        in_order = {tile: n for n, tile in enumerate(dict.fromkeys(tiles))}
        self._tile = [in_order[tile] for tile in tiles]  # (N,) in which each attends
        self._tiles = Tiles.of(T, self._tile, self.p[:moving], self.base, len(self.sweeps))

    def runs_until(self, block: int) -> int:
        """How many runs begin before `block` or an earlier one."""
        return bisect_right(self._starts, block)

    def size(self, block: int) -> int:
        """How many rows those have."""
        return self._rows[self.runs_until(block)]

    def rows(self, block: int, *, is_last: bool) -> Rows:
        """The rows that go through `block`. Of the last one only the ends of runs are read."""
        N, before = self.runs_until(block), self.runs_until(block - 1)
        R, device = self._rows[N], self.run.device
        new = wanted = slice(R)
        if not all(self._everywhere[before:N]):  # those that join are changed at their p alone
            parts = [torch.arange(self._rows[before], device=device)]
            for n in range(before, N):
                end = self._rows[n + 1] if self._everywhere[n] else self._rows[n] + 1
                parts.append(torch.arange(self._rows[n], end, device=device))
            new = torch.cat(parts)
        if is_last:
            wanted = self.ends[:N]
        tiles = self._tiles.first(self._tile[N - 1] + 1 if N else 0, R)
        return Rows(self.run[:R], self.position[:R], self._base_row[:R], new, wanted, tiles)

    def joining(self, block: int) -> Iterator[tuple[int, slice]]:
        """The runs that begin before `block`, as a slice of them for each sweep."""
        n, end = self.runs_until(block - 1), self.runs_until(block)
        while n < end:
            sweep = self._sweep[n]
            same = next((m for m in range(n, end) if self._sweep[m] != sweep), end)
            yield sweep, slice(n, same)
            n = same

    def rows_of(self, runs: slice) -> slice:
        """The rows of some runs that lie together."""
        return slice(self._rows[runs.start], self._rows[runs.stop])

    def by_sweep(self) -> dict[int, list[int]]:
        """Which of the runs are of each sweep."""
        found: dict[int, list[int]] = {}
        for n, sweep in enumerate(self._sweep):
            found.setdefault(sweep, []).append(n)
        return found
