"""Runs that attend together. A run's rows attend to the base's keys before its p and to their own:
few of them, for each of a hundred runs. So some neighbouring runs of one base share a tile, which
has the base's keys once. That of two runs of a text of five tokens, from positions 1 and 3 on:

    keys            the base's 0 1 2    run 0's 1 2 3 4    run 1's 3 4
    run 0, 1                   x . .            x . . .            . .
    run 0, 2                   x . .            x x . .            . .
    run 0, 3                   x . .            x x x .            . .     x  seen
    run 0, 4                   x . .            x x x x            . .     .  not seen
    run 1, 3                   x x x            . . . .            x .
    run 1, 4                   x x x            . . . .            x x

Tiles that are computed together have equally many keys and rows: in those that are smaller, the
base's keys are the first, their own rows the last, and nobody looks at what is between.

Shapes: T tokens, N runs with R rows in all, P bases; n tiles of W rows and K keys.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch.nn import functional as F

from core.engine import suffix
from mingpt.model import Block, CausalSelfAttention

# How many rows the runs that share a tile may have in all, if none by itself has more. In larger
# tiles more is computed that nobody sees, with smaller ones the products are too small.
_ROWS = 32
# What the queries, keys and values of the tiles may take up, in bytes, that attend together: they
# stay in the processor's cache meanwhile.
_IN_CACHE = 2 << 20


class Extent(NamedTuple):
    """What some runs come to, counted one after another."""

    N: int = 0
    R: int = 0
    P: int = 0
    n: int = 0
    W: int = 0
    K: int = 0
    last: tuple[int, int] = (0, 0)  # of the last tile, the rows and the largest p

    def grown(self, T: int, p: int, most: int, *, joins: bool, new_base: bool = False) -> Self:
        """With one run more, from position p on. It shares the last tile, if it `joins` the run
        before and the tile has no more rows than it may have, or `most`."""
        S, (rows, deepest) = T - p, self.last
        if joins and rows + S <= max(_ROWS, most):
            n, rows, deepest = self.n, rows + S, max(deepest, p)
        else:
            n, rows, deepest = self.n + 1, S, p
        W, K = max(self.W, rows), max(self.K, deepest + rows)
        return Extent(self.N + 1, self.R + S, self.P + new_base, n, W, K, (rows, deepest))


def divided(T: int, ps: Sequence[int]) -> tuple[list[int], Extent]:
    """In which tile each run of one base is, from positions `ps` on, and what they come to."""
    found, tile, most = Extent(P=1), [], T - min(ps, default=T)
    for p in ps:
        found = found.grown(T, p, most, joins=found.N > 0)
        tile.append(found.n - 1)
    return tile, found


class Tiles(NamedTuple):
    """Where the keys of each tile are among the rows of all bases, T of each, followed by the rows
    of the runs; what they see; and where each row is among the tiles'."""

    keys: torch.Tensor  # (n, K)
    mask: torch.Tensor  # (n, W, K), 0 where a key is seen and -inf elsewhere
    place: torch.Tensor  # (R,) of n W

    @classmethod
    def of(
        cls, T: int, tile: Sequence[int], p: torch.Tensor, base: torch.Tensor, bases: int
    ) -> Self:
        """Of runs (N,), in which `tile`, from which position on, and of which of the bases."""
        if not tile:
            none = p.new_zeros(0)
            return cls(none, none, none)
        n, tile = tile[-1] + 1, p.new_tensor(tile)
        rows = T - p
        run = torch.arange(len(p), device=p.device).repeat_interleave(rows)  # (R,)
        row = torch.arange(len(run), device=p.device)
        size = p.new_zeros(n).index_add_(0, tile, rows)
        deepest = p.new_zeros(n).scatter_reduce_(0, tile, p, "amax")
        W, K = int(size.max()), int((size + deepest).max())
        at = tile[run]
        before_end = size.cumsum(0)[at] - row
        column = torch.arange(K, device=p.device)
        keys = p.new_zeros(n).index_copy_(0, tile, base[: len(p)])[:, None] * T
        keys = keys + column.clamp(max=T - 1)
        keys[at, K - before_end] = bases * T + row
        owner = p.new_full((n, K), -1)  # which run's row a key is, or -1
        owner[at, K - before_end] = run
        own_p = p.new_zeros(n, K)
        own_p[at, K - before_end] = p[run]
        # A row is as far from the end of the rows as the key that it makes from that of the keys.
        is_own = (owner[:, K - W :, None] == owner[:, None]) & (column <= column[K - W :, None])
        seen = torch.where(owner[:, None] >= 0, is_own, column < own_p[:, K - W :, None])
        mask = torch.zeros(seen.shape, device=p.device).masked_fill_(~seen, -torch.inf)
        return cls(keys, mask, at * W + W - before_end)

    def first(self, n: int, R: int) -> Self:
        """The first tiles, and their rows."""
        return type(self)(self.keys[:n], self.mask[:n], self.place[:R])


class Rows(NamedTuple):
    """Where the packed rows are: run after run, of each those from its p to the end."""

    run: torch.Tensor  # (R,)
    position: torch.Tensor  # (R,)
    of_base: torch.Tensor  # (R,) which row of the bases, T of each, is in the same place
    new: torch.Tensor | slice  # the R' rows that differ from the base already before this block
    wanted: torch.Tensor | slice  # the R'' rows of which the stream after the block is wanted
    tiles: Tiles


def step(
    block: Block,
    x: torch.Tensor,
    rows: Rows,
    bases: Sequence[torch.Tensor],
    buffer: torch.Tensor,
    edit: suffix.Edit = suffix.no_edit,
) -> torch.Tensor:
    """One block over the stream x (R, C) of the rows; gives that of the rows that are wanted,
    (R'', C): x itself, overwritten, where all of them are.

    `bases` are the queries, keys and values of P bases in this block, (3, H, T, D) each. `buffer`
    has `buffer_size` numbers or more, to write the largest tensors to.
    """
    return suffix.after(
        block,
        x[rows.wanted],
        attend(block.attn, block.ln_1(x[rows.new]), rows, bases, buffer),
        buffer,
        edit,
    )


def attend(
    attn: CausalSelfAttention,
    x: torch.Tensor,
    rows: Rows,
    bases: Sequence[torch.Tensor],
    buffer: torch.Tensor,
) -> torch.Tensor:
    """The heads' outputs z in the rows that are wanted, (R'', H, D); x (R', C) are the new rows
    after LayerNorm."""
    (_, H, T, D), (n, W, K) = bases[0].shape, rows.tiles.mask.shape
    C, of_bases = H * D, len(bases) * T
    known = buffer[: 3 * C * (of_bases + len(x))].view(-1, 3 * C)
    for place, base in zip(known.split(T), bases, strict=False):
        place.view(T, 3, H, D).copy_(base.permute(2, 0, 1, 3))
    torch.addmm(attn.c_attn.bias, x, attn.c_attn.weight.t(), out=known[of_bases:])
    # Those that are not new are the base's still.
    where = torch.cat((torch.arange(of_bases, device=x.device), rows.of_base))
    where[of_bases:][rows.new] = torch.arange(of_bases, len(known), device=x.device)
    del x
    some = _at_once(C, K, known.itemsize)
    gathered = buffer[known.numel() :][: 3 * C * min(n, some) * K].view(-1, 3 * C)
    z = known.new_empty(n, W, H, D)
    parts = rows.tiles.keys.split(some), rows.tiles.mask.split(some), z.split(some)
    for keys, mask, out in zip(*parts, strict=True):
        here = torch.index_select(known, 0, where[keys.flatten()], out=gathered[: keys.numel()])
        q, k, v = here.view(-1, K, 3, H, D).permute(2, 0, 3, 1, 4)  # (some, H, K, D) each
        mask = mask[:, None].to(q.dtype)
        own = F.scaled_dot_product_attention(q[:, :, K - W :], k, v, mask, scale=attn.scale)
        out.copy_(own.transpose(1, 2))
    return z.view(n * W, C).index_select(0, rows.tiles.place[rows.wanted]).unflatten(1, (H, D))


def _at_once(C: int, K: int, itemsize: int) -> int:
    """How many tiles attend together."""
    return max(1, _IN_CACHE // max(1, itemsize * 3 * C * K))


def buffer_size(extent: Extent, T: int, C: int, M: int, itemsize: int) -> int:
    """How many numbers a step's largest tensors hold: in the attention queries, keys and values,
    of the bases and the rows, and of some tiles; in the MLP the wide hidden layer. They
    are written to one buffer that lasts a whole sweep, since steps grow from block to block, and an
    allocator cannot give a larger one what smaller ones gave back: it would take twice the
    memory."""
    some = min(extent.n, _at_once(C, extent.K, itemsize))
    return max(3 * C * (extent.P * T + extent.R + some * extent.K), M * extent.R)


def step_bytes(extent: Extent, C: int, M: int, itemsize: int) -> int:
    """What a step takes up at its peak besides the rows' stream and its buffer, in bytes: what the
    tiles see; and, in the attention, what comes of them, and the same once more of the rows; or in
    the MLP LayerNorm's output, and what the activation makes on the way."""
    _, R, _, n, W, K, _ = extent
    some = min(n, _at_once(C, K, itemsize))
    seen = n * K * (4 * W + 8)
    attending = itemsize * C * some * W + some * K * ((itemsize < 4) * itemsize * W + 8)
    attention = itemsize * C * n * W + max(attending, itemsize * C * R)
    return seen + max(attention, itemsize * C * R + suffix.activation_bytes(R, M, itemsize))
