"""The sweep: the final state of every patched run, exact, and nothing computed twice.

Token ids in, states out: this knows no text, no tokenizer and no metric.

The plain way is one forward pass for every cell (`GPT.forward(patch_params=...)`). Four facts
make most of that work unnecessary, without any approximation:

- A patch of layer l at position p changes nothing before p and nothing up to layer l. A patched
  run is computed from there on only (`core.suffix`).
- While both texts have the same tokens, both have the same activations: a cell before the first
  differing position is the base itself.
- What is read in the end is the last position. A patch after the last block moves nothing but the
  last position; of the last block, only its query, projection and MLP are needed.
- All runs read the same weights, so their rows go through each block as one matrix.

Shapes: T tokens, L layers, C channels, H heads of D = C / H channels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F

from core import suffix
from core.sites import SITES, Ablated, Layer
from core.work import runs_work
from mingpt.model import GPT, merge_heads

# What the rows of one step may take up, in bytes: enough to multiply at full speed, little enough
# for a step to take a fraction of a second, since a sweep can be cancelled between steps only.
WORKING_MEMORY = 48 << 20


@dataclass(frozen=True)
class Run:
    """An unpatched forward pass, and what patched runs need of it."""

    ids: tuple[int, ...]
    resid: torch.Tensor  # (L + 1, T, C) the residual stream before each block and after the last
    keys: torch.Tensor  # (L, H, T, D)
    values: torch.Tensor  # (L, H, T, D)
    state: torch.Tensor  # (C,) the last position after the final LayerNorm


class _Cell(NamedTuple):
    """One patched run, and its place in the states."""

    index: tuple[int, ...]
    start: int  # the block before which the run begins to differ
    p: int  # the position from which on it does
    lane: int  # which of the streams of its layer it takes
    until: int  # in a window: the last block after which it is patched again


@torch.inference_mode()
def record(model: GPT, *texts: tuple[int, ...]) -> list[Run]:
    """Run texts of equally many token ids through `model` together, keeping what a sweep needs."""
    x = model.embed(torch.tensor(texts, device=model.lm_head.weight.device))  # (B, T, C)
    resid, keys, values = [x], [], []
    for block in model.transformer.h:
        q, k, v = block.attn.qkv(block.ln_1(x))  # (B, H, T, D) each
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + block.attn.c_proj(merge_heads(z))
        x = x + block.mlp(block.ln_2(x))
        resid.append(x)
        keys.append(k)
        values.append(v)
    states = model.transformer.ln_f(x[:, -1])  # (B, C)
    kept = (torch.stack(parts, dim=1) for parts in (resid, keys, values))
    return [Run(*parts) for parts in zip(texts, *kept, states, strict=True)]


def sweep(
    model: GPT,
    base: Run,
    source: Run | str,
    *,
    site: str = "resid_post",
    embedding: bool = False,
    window: int = 0,
) -> Iterator[tuple[float, torch.Tensor]]:
    """Patch `source`'s activations into `base`, one cell of the site's axes at a time.

    Yields the fraction of the work that is done and the states so far: of each cell's run, the
    last position after the final LayerNorm; NaN where it is not known yet. Their shape is the
    site's axes, then C. It is the same tensor every time, complete when the fraction is 1.

    `source` is a run of as many tokens, or "zero" or "mean" to ablate: to put in zeros, or the
    mean over the base's positions. For resid_post, `embedding` adds a first row for the input of
    block 0, and `window` patches so many layers more on either side, all at once.
    Closing the generator cancels the sweep.
    """
    L, T = model.config.n_layer, len(base.ids)
    sizes = {"layer": L + embedding, "head": model.config.n_head, "position": T}
    shape = [sizes[axis] for axis in SITES[site].axes]
    states = base.state.expand(*shape, -1).clone()
    cells = list(_cells(model, base, source, site, embedding, window))
    for cell in cells:
        states[cell.index] = torch.nan
    streams = _Streams(model, base, source, site)

    done, total = 0, sum((T - cell.p) * (L - cell.start) for cell in cells)
    for chunk in _chunks(cells, T, bytes_per_row=suffix.WIDEST * base.state.nbytes):
        groups: suffix.Groups = {}
        lanes: dict[int, list[_Cell]] = {}  # p -> the cells of the runs in its group
        for r in range(min(cell.start for cell in chunk), L + 1):
            if r < L:
                yield done / total, states
            with torch.inference_mode():
                for p, joining in _joining(chunk, r).items():
                    lanes[p] = lanes.get(p, []) + joining
                    runs = streams.begin(r, p, [cell.lane for cell in joining])
                    runs = runs if r < L else runs[:, -1:]
                    groups[p] = torch.cat((groups[p], runs)) if p in groups else runs
                if r < L:
                    done += sum(len(lanes[p]) * (T - p) for p in groups)
                    block, kv = model.transformer.h[r], (base.keys[r], base.values[r])
                    groups = suffix.step(block, groups, *kv, last_only=r == L - 1)
                    if window:
                        streams.patch_again(r, groups, lanes)
        for p, runs in groups.items():
            with torch.inference_mode():
                ends = model.transformer.ln_f(runs[:, -1])
            for cell, end in zip(lanes[p], ends, strict=True):
                states[cell.index] = end
    yield 1.0, states


def sweep_work(
    model: GPT, base: Run, source: Run | str, *, site: str, embedding: bool, window: int
) -> int:
    """The floating-point operations of this `sweep`, at the least (see `core.work`)."""
    cells = _cells(model, base, source, site, embedding, window)
    L, C, T = model.config.n_layer, model.config.n_embd, len(base.ids)
    return runs_work(L, C, T, ((cell.start, cell.p) for cell in cells))


def packed_rows(
    model: GPT, base: Run, source: Run | str, *, site: str, embedding: bool, window: int
) -> list[list[int]]:
    """How many rows go through each block together, for each chunk of this `sweep` a list."""
    cells = _cells(model, base, source, site, embedding, window)
    L, T = model.config.n_layer, len(base.ids)
    return [
        [sum(T - cell.p for cell in chunk if cell.start <= r) for r in range(L)]
        for chunk in _chunks(cells, T, suffix.WIDEST * base.state.nbytes)
    ]


def _first_difference(base: Run, source: Run | str) -> int:
    """The position before which no patch changes anything."""
    if isinstance(source, str):
        return 0
    same = [a == b for a, b in zip(base.ids, source.ids, strict=True)]
    return same.index(False) if False in same else len(same)


def _cells(
    model: GPT, base: Run, source: Run | str, site: str, embedding: bool, window: int
) -> Iterator[_Cell]:
    """Every run that has to be computed, the shortest ones first."""
    T, parted = len(base.ids), _first_difference(base, source)
    L, axes = model.config.n_layer, SITES[site].axes
    heads = range(model.config.n_head) if "head" in axes else range(1)
    # A patch of all positions begins to matter at the first that differs.
    positions = range(parted, T) if "position" in axes else range(parted, T)[:1]
    lowest = -1 if embedding else 0
    for layer in reversed(range(lowest, L)):
        first = max(layer - window, lowest)
        start = first if SITES[site].before_layer else first + 1
        until = min(layer + window, L - 1)
        for head in heads:
            for p in positions:
                place = {"layer": layer - lowest, "head": head, "position": p}
                yield _Cell(tuple(place[axis] for axis in axes), start, p, head, until)


def _chunks(cells: Iterable[_Cell], T: int, bytes_per_row: int) -> Iterator[list[_Cell]]:
    """Cut `cells` into parts whose packed rows fit into WORKING_MEMORY, one run at least."""
    most = WORKING_MEMORY // bytes_per_row
    chunk, rows = [], 0
    for cell in cells:
        rows += T - cell.p
        if chunk and rows > most:
            yield chunk
            chunk, rows = [], T - cell.p
        chunk.append(cell)
    if chunk:
        yield chunk


def _joining(chunk: list[_Cell], block: int) -> dict[int, list[_Cell]]:
    """The cells whose runs begin before a block, by position."""
    joining: dict[int, list[_Cell]] = {}
    for cell in chunk:
        if cell.start == block:
            joining.setdefault(cell.p, []).append(cell)
    return joining


class _Streams:
    """What is patched in: the stream before a block, as it is once a cell has been patched."""

    def __init__(self, model: GPT, base: Run, source: Run | str, site: str):
        self._model, self._base, self._source, self._site = model, base, source, SITES[site]
        self._latest: tuple[int, torch.Tensor] | None = None

    def begin(self, block: int, p: int, lanes: list[int]) -> torch.Tensor:
        """The streams from position p on of runs that begin before `block`: (n, S, C)."""
        patched = self._before(block)[lanes, p:]
        if "position" not in self._site.axes:
            return patched
        untouched = self._base.resid[block, p + 1 :].expand(len(lanes), -1, -1)
        return torch.cat((patched[:, :1], untouched), dim=1)

    def patch_again(self, block: int, groups: suffix.Groups, lanes: dict[int, list[_Cell]]) -> None:
        """After `block`, put the source back into the runs whose window is still open."""
        for p, runs in groups.items():
            for run, cell in zip(runs, lanes[p], strict=True):
                # After the last block there is only the last position left.
                if block <= cell.until and len(run) == len(self._base.ids) - p:
                    run[0] = self._before(block + 1)[0, p]

    def _before(self, block: int) -> torch.Tensor:
        """The patched streams before a block: (lanes, T, C). The latest is kept, since cells of
        one layer come one after another."""
        if self._latest is None or self._latest[0] != block:
            self._latest = (block, self._make(block))
        return self._latest[1]

    def _make(self, block: int) -> torch.Tensor:
        layer = block if self._site.before_layer else block - 1
        if layer < 0:
            return self._inside(self._source, 0).resid_pre[None]
        return self._site.stream(self._inside(self._base, layer), self._inside(self._source, layer))

    def _inside(self, run: Run | str, layer: int) -> Layer | Ablated:
        if isinstance(run, str):
            return Ablated(self._inside(self._base, layer), run)
        return Layer(self._model.transformer.h[layer], run.resid[layer])
