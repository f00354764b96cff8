"""The sweep: the final state of every patched run, exact, and nothing computed twice.

Token ids in, states out: this knows no text, no tokenizer and no metric.

The plain way is one forward pass for every cell (`GPT.forward(patch_params=...)`). Four facts
make most of that work unnecessary, without any approximation:

- A patch of layer l at position p changes nothing before p and nothing up to layer l. A patched
  run is computed from there on only (`core.engine.suffix`).
- While both texts have the same tokens, both have the same activations: a cell before the first
  differing position is the base itself.
- What is read in the end is the last position. A patch after the last block moves nothing but the
  last position; of the last block, only its query, projection and MLP are needed.
- All runs read the same weights, so their rows go through each block as one matrix; those of the
  plain runs among them, where these are still to be computed.

Shapes: T tokens, L layers, C channels, H heads of D = C / H channels.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F

from core.engine import suffix
from core.engine.sites import SITES, Ablated, Layer
from core.engine.work import run_work
from mingpt.model import GPT, merge_heads, split_heads

# What the rows of one step may take up, in bytes: enough to multiply at full speed, little enough
# for a step to take a fraction of a second, since a sweep can be cancelled between steps only.
WORKING_MEMORY = 48 << 20


@dataclass
class Run:
    """A forward pass, and what patched runs of it need."""

    ids: tuple[int | None, ...]
    resid: torch.Tensor  # (L + 1, T, C) the residual stream before each block and after the last
    qkv: torch.Tensor  # (L, T, 3 C) queries, keys and values, of each the heads side by side
    state: torch.Tensor  # (C,) the last position after the final LayerNorm
    finished: bool = True  # else only what goes into block 0 is known, and the state is NaN

    def layer(self, model: GPT, layer: int) -> Layer:
        """What the run holds inside a layer."""
        return Layer(model.transformer.h[layer], self.resid[layer], self.resid[layer + 1])


class _Cell(NamedTuple):
    """One patched run, and its place in the states."""

    index: tuple[int, ...]
    start: int  # the block before which the run begins to differ
    p: int  # the position from which on it does
    lane: int  # which of the streams of its layer it takes
    until: int  # in a window: the last block after which it is patched again


# A plain run that is computed along with patched ones: what goes into block 0 is there already.
_PLAIN = _Cell((), start=-1, p=0, lane=0, until=-1)


@torch.inference_mode()
def begin(model: GPT, *texts: tuple[int, ...]) -> list[Run]:
    """Runs of texts of equally many token ids through `model`, still to be computed: by the first
    sweep of them, along with its own, or by `finish`."""
    embedded = model.embed(torch.tensor(texts, device=model.lm_head.weight.device))  # (B, T, C)
    B, T, C = embedded.shape
    L = model.config.n_layer
    resid = embedded.new_empty(B, L + 1, T, C)
    resid[:, 0] = embedded
    parts = resid, resid.new_empty(B, L, T, 3 * C), resid.new_full((B, C), torch.nan)
    return [Run(*run, finished=False) for run in zip(texts, *parts, strict=True)]


@torch.inference_mode()
def finish(model: GPT, *runs: Run) -> None:
    """Compute in one pass those of the runs that are still to be computed."""
    runs = [run for run in runs if not run.finished]
    if not runs:
        return
    x = torch.stack([run.resid[0] for run in runs])  # (B, T, C)
    for run, *parts in zip(runs, *_record_from(model, 0, x), strict=True):
        run.resid, run.qkv, run.state = parts
        run.finished = True


def record(model: GPT, *texts: tuple[int, ...]) -> list[Run]:
    """Run texts of equally many token ids through `model` together, keeping what a sweep needs."""
    runs = begin(model, *texts)
    finish(model, *runs)
    return runs


@torch.inference_mode()
def record_patched(
    model: GPT, base: Run, source: Run | str, *, site: str, layer: int, position: int
) -> Run:
    """The patched run of one cell of a site by layer and position, whole; layer -1 of resid_post
    is the embedding. In its ids, None stands where the patch was."""
    start = layer if SITES[site].before_layer else layer + 1
    x = base.resid[start].clone()
    x[position] = _Streams(model, base, source, site).before(start)[0, position]
    resid, qkv, state = (part[0] for part in _record_from(model, start, x[None]))
    ids = (*base.ids[:position], None, *base.ids[position + 1 :])
    return Run(
        ids,
        torch.cat((base.resid[:start], resid)),
        torch.cat((base.qkv[:start], qkv)),
        state,
    )


def _record_from(model: GPT, start: int, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Run on from the stream (B, T, C) before block `start`: the streams, queries, keys and
    values from there on, and the last states, as in a `Run` but for the first axis, B."""
    blocks = model.transformer.h[start:]
    B, T, C = x.shape
    resid, qkv = x.new_empty(B, len(blocks) + 1, T, C), x.new_empty(B, len(blocks), T, 3 * C)
    for row, block in enumerate(blocks):
        resid[:, row] = x
        qkv[:, row] = block.attn.c_attn(block.ln_1(x))
        heads = (split_heads(part, block.attn.n_head) for part in qkv[:, row].chunk(3, dim=-1))
        z = F.scaled_dot_product_attention(*heads, is_causal=True)  # (B, H, T, D)
        x = x + block.attn.c_proj(merge_heads(z))
        x = x + block.mlp(block.ln_2(x))
    resid[:, -1] = x
    return resid, qkv, model.transformer.ln_f(x[:, -1])


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
    What of both runs is still to be computed is computed along the way.
    Closing the generator cancels the sweep.
    """
    L, C, T = model.config.n_layer, model.config.n_embd, len(base.ids)
    sizes = {"layer": L + embedding, "head": model.config.n_head, "position": T}
    shape = [sizes[axis] for axis in SITES[site].axes]
    plain = _unfinished(base, source)
    cells = list(_cells(model, base, source, site, embedding, window))
    unmoved = torch.ones(shape, dtype=torch.bool)  # the cells whose runs are the base itself
    unmoved[_places(cells, shape)] = False
    states = base.state.new_full((*shape, len(base.state)), torch.nan)
    states[unmoved] = base.state
    streams = _Streams(model, base, source, site)

    chunks = _chunks(model, cells, base, source)
    stream, room, _ = _largest(model, T, chunks)
    x = base.state.new_empty(stream).view(-1, C)  # (R, C) the rows of the chunk under way
    room = base.state.new_empty(room)
    for i, run in enumerate(plain):  # they come first
        x[i * T :][:T] = run.resid[0]
    done, total = 0, T * L * len(plain) + sum((T - cell.p) * (L - cell.start) for cell in cells)
    for chunk in chunks:
        pack = _Pack(chunk.cells, T, x.device, site)
        read = x[:0]
        for r in range(pack.start, L):
            yield done / total, states
            with torch.inference_mode():
                joining, rows = pack.rows_joining(r), pack.rows_until(r, is_last=r == L - 1)
                x[joining] = streams.begin(r, pack, joining)
                block, own = model.transformer.h[r], [run.qkv[r] for run in plain]
                read = suffix.step(block, x[: joining.stop], rows, base.qkv[r], room, own)
                done += joining.stop
                for i, run in enumerate(plain):
                    run.resid[r + 1] = read[i * T :][:T]
                if window:
                    streams.patch_again(r, pack, rows, read)
        with torch.inference_mode():
            # Of a patch after the last block only the last position is read.
            late = pack.ends[chunk.N :]
            ends = model.transformer.ln_f(torch.cat((read, streams.begin(L, pack, late))))
            for run, end in zip(plain, ends[T - 1 :: T], strict=False):
                run.state, run.finished = end.clone(), True
            if plain:
                states[unmoved] = base.state
            states[_places(pack.cells, shape)] = ends[len(plain) * T :]
        plain = []
    yield 1.0, states


def sweep_work(
    model: GPT, base: Run, source: Run | str, *, site: str, embedding: bool, window: int
) -> int:
    """The floating-point operations of this `sweep`, at the least (see `core.engine.work`)."""
    cells = _cells(model, base, source, site, embedding, window)
    L, C, T = model.config.n_layer, model.config.n_embd, len(base.ids)
    everywhere = "position" not in SITES[site].axes
    begins = [(cell.start, cell.p, T - cell.p if everywhere else 1) for cell in cells]
    for run in _unfinished(base, source):
        # Where the other plain run has the base's tokens still, it is the base.
        p = 0 if run is base else _parted(base, run)
        begins.append((0, p, T - p))
    return sum(run_work(L, C, T, *begin) for begin in begins)


def packed_rows(
    model: GPT, base: Run, source: Run | str, *, site: str, embedding: bool, window: int
) -> list[tuple[int, int]]:
    """How many rows go together through each block of this `sweep`, chunk by chunk: through its
    product for query, key and value, and through those after the attention."""
    cells = _cells(model, base, source, site, embedding, window)
    L, counts = model.config.n_layer, []
    for chunk in _chunks(model, cells, base, source):
        pack = _Pack(chunk.cells, len(base.ids), base.state.device, site)
        for r in range(L):
            rows = pack.rows_until(r, is_last=r == L - 1)
            counts.append((len(rows.run[rows.new]), len(rows.run[rows.read])))
    return counts


def memory(
    model: GPT, base: Run, source: Run | str, *, site: str, embedding: bool, window: int
) -> tuple[int, int]:
    """What the tensors of this `sweep` take above the weights, in bytes: what stays (both runs, the
    states, the stream and the room of a chunk), and what the largest step takes besides."""
    cells = list(_cells(model, base, source, site, embedding, window))
    chunks, T = _chunks(model, cells, base, source), len(base.ids)
    stream, room, step = _largest(model, T, chunks)
    runs, states = 2 * (base.resid.nbytes + base.qkv.nbytes), len(cells) * base.state.nbytes
    return runs + states + 4 * (stream + room), 4 * step


def _unfinished(base: Run, source: Run | str) -> list[Run]:
    """The plain runs that a sweep still has to compute."""
    return [run for run in (base, source) if isinstance(run, Run) and not run.finished]


def _parted(base: Run, source: Run | str) -> int:
    """The position before which no patch changes anything."""
    if isinstance(source, str):
        return 0
    same = [a == b for a, b in zip(base.ids, source.ids, strict=True)]
    return same.index(False) if False in same else len(same)


def _cells(
    model: GPT, base: Run, source: Run | str, site: str, embedding: bool, window: int
) -> Iterator[_Cell]:
    """Every run that has to be computed, those that begin last first."""
    T, parted = len(base.ids), _parted(base, source)
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


def _places(cells: list[_Cell], shape: list[int]) -> tuple[torch.Tensor, ...]:
    """Where the cells are in a grid of that shape: an index for each axis."""
    indices = torch.tensor([cell.index for cell in cells], dtype=torch.long)
    return indices.view(len(cells), len(shape)).unbind(1)


class _Chunk(NamedTuple):
    """Runs that go through the blocks together."""

    cells: list[_Cell]
    R: int  # the rows of those that go through a block at all
    N: int  # so many do
    first: int  # none of them begins before this position


def _chunks(model: GPT, cells: Iterable[_Cell], base: Run, source: Run | str) -> list[_Chunk]:
    """The runs of `cells` in parts that fit into WORKING_MEMORY, one run at least. Plain runs that
    are still to be computed begin the first."""
    T, plain, chunks = len(base.ids), len(_unfinished(base, source)), []
    chunk = _Chunk([_PLAIN] * plain, plain * T, plain, 0 if plain else T)
    for cell in cells:
        if cell.start < model.config.n_layer:
            more = chunk.R + T - cell.p, chunk.N + 1, min(chunk.first, cell.p)
            if chunk.N and 4 * sum(_numbers(model, T, *more)) > WORKING_MEMORY:
                chunks.append(chunk)
                chunk, more = _Chunk([], 0, 0, T), (T - cell.p, 1, cell.p)
            chunk = _Chunk(chunk.cells, *more)
        chunk.cells.append(cell)
    return [*chunks, chunk] if chunk.cells else chunks


def _numbers(model: GPT, T: int, R: int, N: int, first: int) -> tuple[int, int, int]:
    """How many numbers a chunk takes up: its stream, the room for the largest tensors of a step,
    and the rest of its largest step."""
    C, H = model.config.n_embd, model.config.n_head
    return R * C, suffix.room_for(R, N, T, C), suffix.floats(R, N, first, T, C, H)


def _largest(model: GPT, T: int, chunks: list[_Chunk]) -> tuple[int, int, int]:
    """Of each of the three, what all chunks can do with."""
    sizes = (_numbers(model, T, chunk.R, chunk.N, chunk.first) for chunk in chunks)
    return tuple(map(max, zip((0, 0, 0), *sizes, strict=True)))


class _Pack:
    """Where the rows of a chunk's N runs are: run after run, of each those from its p to the end.
    The runs are in the order in which they begin, so those under way are the first ones."""

    def __init__(self, chunk: list[_Cell], T: int, device: torch.device, site: str):
        chunk = sorted(chunk, key=lambda cell: cell.start)
        self.T = T
        self.cells = [cell for cell in chunk if cell is not _PLAIN]
        self.start = max(chunk[0].start, 0)  # the block before which the first run begins
        self._plain = len(chunk) - len(self.cells)
        self._everywhere = "position" not in SITES[site].axes
        self._starts = [cell.start for cell in chunk]
        self.p, self.lane, self.until = torch.tensor(
            [(cell.p, cell.lane, cell.until) for cell in chunk], device=device
        ).T  # (N,) each
        sizes = T - self.p
        self.ends = sizes.cumsum(0) - 1  # (N,) each run's last row
        self.begins = self.ends - sizes + 1  # (N,) its first
        self._rows = [0, *(self.ends + 1).tolist()]  # so many before each run
        self.run = torch.arange(len(chunk), device=device).repeat_interleave(sizes)  # (R,)
        within = torch.arange(len(self.run), device=device) - self.begins[self.run]
        self.position = self.p[self.run] + within  # (R,)
        self._first = min(cell.p for cell in chunk)

    def runs_until(self, block: int) -> int:
        """How many runs begin before `block` or an earlier one."""
        return bisect_right(self._starts, block)

    def rows_until(self, block: int, *, is_last: bool) -> suffix.Rows:
        """The rows of the runs that begin before `block` or an earlier one. Of the last block
        only the ends of patched runs are read."""
        N, before = self.runs_until(block), self.runs_until(block - 1)
        R, device = self._rows[N], self.run.device
        new = read = slice(R)
        if N > before and not self._everywhere:  # those that join are changed at their p alone
            so_far = torch.arange(self._rows[before], device=device)
            new = torch.cat((so_far, self.begins[before:N]))
        if is_last:
            whole = torch.arange(self._plain * self.T, device=device)
            read = torch.cat((whole, self.ends[self._plain : N]))
        return suffix.Rows(self.run[:R], self.position[:R], N, self._first, new, read)

    def rows_joining(self, block: int) -> slice:
        """The rows of the runs that begin before `block`."""
        return slice(*(self._rows[self.runs_until(r)] for r in (block - 1, block)))


class _Streams:
    """What is patched in: the stream before a block, as it is once a cell has been patched."""

    def __init__(self, model: GPT, base: Run, source: Run | str, site: str):
        self._model, self._base, self._source, self._site = model, base, source, SITES[site]
        self._latest: tuple[int, torch.Tensor] | None = None

    def begin(self, block: int, pack: _Pack, rows: slice | torch.Tensor) -> torch.Tensor:
        """The stream before `block` in some of a pack's rows, whose runs begin there: (rows, C)."""
        run, position = pack.run[rows], pack.position[rows]
        if not len(run):
            return self._base.resid[0, :0]
        patched = self.before(block)[pack.lane[run], position]
        if "position" not in self._site.axes:
            return patched
        is_patched = position == pack.p[run]
        return torch.where(is_patched[:, None], patched, self._base.resid[block, position])

    def patch_again(self, block: int, pack: _Pack, rows: suffix.Rows, x: torch.Tensor) -> None:
        """After `block`, put the source back into the runs whose window is still open: into the
        stream x (R', C) of the rows that are read."""
        run, position = rows.run[rows.read], rows.position[rows.read]
        again = (position == pack.p[run]) & (pack.until[run] >= block)
        x[again] = self.before(block + 1)[0, position[again]]

    def before(self, block: int) -> torch.Tensor:
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
        return run.layer(self._model, layer)
