"""The sweep: the final state of every patched run, exact, and nothing computed twice.

Token ids in, states out: this knows no text, no tokenizer and no metric.

The plain way is one forward pass for every cell (`GPT.forward(patch_params=...)`). What makes most
of that unnecessary is in `core.engine.plan`; and all runs read the same weights, so their rows go
through each block as one matrix (`core.engine.suffix`).

Shapes: T tokens, L layers, C channels, H heads of D = C / H channels.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

import numpy as np
import torch

from core.engine import plan, suffix, tiles
from core.engine.pack import Pack
from core.engine.plan import Plan, Sizes, plan_of
from core.engine.runs import (
    Replacement,
    Run,
    check_ready,
    empty_runs,
    layer_of,
    not_finite,
    run_block,
)
from mingpt.model import GPT


def sizes_of(model: GPT) -> Sizes:
    config, inner = model.config, model.transformer.h[0].mlp.c_fc.out_features
    itemsize = model.lm_head.weight.itemsize
    return Sizes(config.n_layer, config.n_embd, inner, config.n_head, itemsize)


class Sweep:
    """`source`'s activations patched into `base`, one cell of the site's axes at a time.

    `source` is a run of as many tokens, a replacement made of other runs, or "zero" or
    "position_mean" to ablate: to put in zeros, or the mean over the base's positions.
    For resid_post, `embedding` adds a first row for the input of block 0. `window` is how many
    layers on either side are patched with each, all at once, where the site has windows.

    `states` has, of each cell's run, the last position after the final LayerNorm: (*shape, C),
    NaN where it is not known yet. Iterating computes them, and yields the fraction of the work
    that is done; whoever stops iterating cancels. Raises UserError for a model in training mode
    and, while iterating, for numbers that are not finite; ValueError for texts of unequal length.
    """

    def __init__(
        self,
        model: GPT,
        base: Run,
        source: Run | Replacement | str,
        site: str = "resid_post",
        embedding: bool = False,
        window: int = 0,
    ):
        check_ready(model)
        match source:
            case str():
                differ = 0
            case Replacement():
                differ = source.first
            case Run():
                differ = plan.first_difference(base.ids, source.ids)
        self.plan = plan_of(sizes_of(model), len(base.ids), differ, site, embedding, window)
        self.model, self.base, self.source = model, base, source
        self.states = base.state.new_full((*self.shape, len(base.state)), torch.nan)
        self.states[~self.moved] = base.state
        self._latest: tuple[int, torch.Tensor] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.plan.shape

    @property
    def moved(self) -> torch.Tensor:
        """Which cells have a run of their own, (*shape): the others are the base's."""
        return torch.from_numpy(_moved(self.plan))

    @property
    def work(self) -> int:
        return self.plan.work

    @property
    def memory(self) -> tuple[int, int]:
        return self.plan.memory

    def __iter__(self) -> Iterator[float]:
        return together([self])

    @torch.inference_mode()
    def record(self, *index: int) -> Run:
        """The patched run of one cell, whole."""
        cell = next((cell for cell in self.plan.cells if cell.index == index), None)
        if cell is None:
            return self.base
        model, L = self.model, self.plan.sizes.L
        at = cell.p if "position" in self.plan.site.axes else slice(None)
        x = self.base.resid[cell.start].clone()
        x[at] = self.patched_stream(cell.start)[cell.lane, at]
        resid, qkv = empty_runs(model, x[None], L)
        resid[0, : cell.start], qkv[0, : cell.start] = (
            self.base.resid[: cell.start],
            self.base.qkv[: cell.start],
        )
        for r in range(cell.start, L):
            resid[0, r] = x

            def edit(site: str, activation: torch.Tensor, r: int = r) -> None:
                if site == self.plan.site_name and r <= cell.until:
                    activation[0, at] = self.source_of_window(r)[at]

            parts, _, x = run_block(model.transformer.h[r], x[None], edit)
            qkv[0, r], x = torch.cat(parts), x[0]
        resid[0, L] = x
        ids = (*self.base.ids[: cell.p], None, *self.base.ids[cell.p + 1 :])
        return Run(ids, resid[0], qkv[0], model.transformer.ln_f(x[-1]))

    def patched_stream(self, block: int) -> torch.Tensor:
        """The stream before a block as it is once a cell has been patched, for all cells that
        begin there: (lanes, T, C). The latest is kept, since those come one after another."""
        if self._latest is None or self._latest[0] != block:
            site = self.plan.site
            layer = block if site.before_layer else block - 1
            if layer < 0:
                stream = layer_of(self.model, self.base, self.source, 0).resid_pre[None]
            else:
                stream = site.stream(
                    self.base.layer(self.model, layer),
                    layer_of(self.model, self.base, self.source, layer),
                )
            self._latest = (block, stream)
        return self._latest[1]

    def forget_streams(self) -> None:
        self._latest = None

    def source_of_window(self, layer: int) -> torch.Tensor:
        """The activation (T, C) that is put into a later layer of a window."""
        return getattr(layer_of(self.model, self.base, self.source, layer), self.plan.site_name)

    def joining_stream(self, block: int, pack: Pack, rows: slice | torch.Tensor) -> torch.Tensor:
        """The stream before `block` in some rows of runs that begin there: (rows, C)."""
        run, position = pack.run[rows], pack.position[rows]
        patched = self.patched_stream(block)[pack.lane[run], position]
        if "position" not in self.plan.site.axes:
            return patched
        is_patched = position == pack.p[run]
        return torch.where(is_patched[:, None], patched, self.base.resid[block, position])

    def patch_again(
        self, block: int, pack: Pack, number: int, rows: tiles.Rows, activation: torch.Tensor
    ) -> None:
        """In `block`, put the source into those of this sweep's runs whose window is still open:
        into the site's activation (R'', C) in the rows that are wanted."""
        run, position = rows.run[rows.wanted], rows.position[rows.wanted]
        own = pack.base[run] == pack.sweeps.index(number)
        again = own & (position == pack.p[run]) & (pack.until[run] >= block)
        if again.any():
            activation[again] = self.source_of_window(block)[position[again]]


def together(sweeps: Sequence[Sweep], budget: int | None = None) -> Iterator[float]:
    """Compute sweeps of one model and of texts of one length in common packs, and yield the
    fraction of all their work that is done. `budget` is that of `plan.chunks`."""
    model, plans = sweeps[0].model, [sweep.plan for sweep in sweeps]
    L, C, _, _, itemsize = plans[0].sizes
    parts = plan.chunks(plans, budget)
    stream, buffer, _ = plan.largest(parts)
    new = sweeps[0].base.state.new_empty
    x = new(stream // itemsize).view(-1, C)  # (R, C) the rows of the chunk under way
    buffer = new(buffer // itemsize)
    done, total = 0, sum(plan.rows for plan in plans)
    for chunk in parts:
        pack = Pack(chunk, plans, x.device)
        read = x[:0]
        for r in range(pack.start, L):
            yield done / total
            with torch.inference_mode():
                for number, runs in pack.joining(r):
                    begun = pack.rows_of(runs)
                    x[begun] = sweeps[number].joining_stream(r, pack, begun)
                rows = pack.rows(r, is_last=r == L - 1)
                bases = [sweeps[number].base.qkv[r] for number in pack.sweeps]
                edit = suffix.no_edit
                if any(sweeps[number].plan.window for number in pack.sweeps):
                    edit = partial(_patch_windows, sweeps, r, pack, rows)
                block = model.transformer.h[r]
                read = tiles.step(block, x[: pack.size(r)], rows, bases, buffer, edit)
                done += pack.size(r)
        with torch.inference_mode():
            # Of a patch after the last block only the last position is read.
            late = [
                sweeps[number].joining_stream(L, pack, pack.ends[runs])
                for number, runs in pack.joining(L)
            ]
            ends = model.transformer.ln_f(torch.cat((read, *late)))
            if not ends.isfinite().all():
                raise not_finite(ends.dtype, "a patch")
            for number, own in pack.by_sweep().items():
                states = sweeps[number].states
                states[_places([pack.cells[n] for n in own], sweeps[number].shape)] = ends[own]
    for sweep in sweeps:
        sweep.forget_streams()
    yield 1.0


def _patch_windows(
    sweeps: Sequence[Sweep],
    block: int,
    pack: Pack,
    rows: tiles.Rows,
    site: str,
    activation: torch.Tensor,
) -> None:
    """The edit of a block for all runs whose window is still open."""
    for number in pack.sweeps:
        if sweeps[number].plan.window and sweeps[number].plan.site_name == site:
            sweeps[number].patch_again(block, pack, number, rows, activation)


@lru_cache(maxsize=64)
def _moved(plan: Plan) -> np.ndarray:
    moved = np.zeros(plan.shape, dtype=bool)
    for cell in plan.cells:
        moved[cell.index] = True
    return moved


def _places(cells: list[plan.Cell], shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """Where the cells are in a grid of that shape: an index for each axis."""
    indices = torch.tensor([cell.index for cell in cells], dtype=torch.long)
    return indices.view(len(cells), len(shape)).unbind(1)
