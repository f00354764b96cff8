"""The engine: many patched runs, each from where it begins to differ from its base to its end.

A run that was changed before block r at position p differs from its base only at p and later, and
only from block r on; before p it attends to the base's keys and values. So of each run only the
rows from p to the end are computed, and those of all runs under way are packed into one matrix
for everything that works position by position (LayerNorm, query, key, value, projection, MLP):
the weights are read once for all (`core.engine.pack` draws this). To attend, some runs share the
keys of their base (`core.engine.tiles`).

In block r itself, where a patch has changed position p alone, the rows after p are still those of
the base: their queries, keys and values are known, and only what they attend to is new.

It knows neither what was patched nor why, and writes nothing to the model: any number of threads
may share one.

Shapes: T tokens, C channels, M of them inside an MLP, H heads of D = C / H channels; R rows in all;
n tiles of W rows and K keys.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from core.engine.tiles import Extent, Tiles
from mingpt.model import MLP, Block, CausalSelfAttention

# How many numbers go through all operations of the activation before the next do: these stay in the
# processor's cache meanwhile.
IN_CACHE = 1 << 16


# Writes to the activations of a block on the way: takes the name of one, which is
# `core.engine.layer.Layer`'s, and what it is in the rows that are wanted, (R'', C), or of z
# (R'', H, D).
Edit = Callable[[str, torch.Tensor], None]


def no_edit(name: str, activation: torch.Tensor) -> None:
    """Every activation stays as it is."""


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
    edit: Edit = no_edit,
) -> torch.Tensor:
    """One block over the stream x (R, C) of the rows; gives that of the rows that are wanted,
    (R'', C): x itself, overwritten, where all of them are.

    `bases` are the queries, keys and values of P bases in this block, (3, H, T, D) each. `buffer`
    has `buffer_size` numbers or more, to write the largest tensors to.
    """
    z = _attend(block.attn, block.ln_1(x[rows.new]), rows, bases, buffer)
    x = x[rows.wanted]
    edit("z", z)
    _add(block.attn.c_proj, z.flatten(1), x, "attn_out", edit)
    del z  # which takes up as much as the stream
    _add(block.mlp.c_proj, hidden(block.mlp, block.ln_2(x), buffer), x, "mlp_out", edit)
    edit("resid_post", x)
    return x


def buffer_size(extent: Extent, T: int, C: int, M: int) -> int:
    """How many numbers a step's largest tensors hold: in the attention queries, keys and values,
    of the bases and the rows, and once more of the tiles; in the MLP the wide hidden layer. They
    are written to one buffer that lasts a whole sweep, since steps grow from block to block, and an
    allocator cannot give a larger one what smaller ones gave back: it would take twice the
    memory."""
    return max(3 * C * (extent.P * T + extent.R + extent.n * extent.K), M * extent.R)


def step_bytes(extent: Extent, C: int, M: int, itemsize: int) -> int:
    """What a step takes up at its peak besides the rows' stream and its buffer, in bytes: what the
    tiles see; and, in the attention, what comes of them, and the same once more of the rows; or in
    the MLP LayerNorm's output, and what the activation makes on the way."""
    _, R, _, n, W, K, _ = extent
    seen = n * K * (4 * W + 8)
    attention = itemsize * C * (R + n * W) + n * K * ((itemsize < 4) * itemsize * W + 8)
    return seen + max(attention, itemsize * C * R + activation_bytes(R, M, itemsize))


def activation_bytes(R: int, M: int, itemsize: int) -> int:
    """What `activate_` makes of R rows on the way."""
    return min(R * M, max(IN_CACHE, M)) * (4 if itemsize == 4 else 8)


def _attend(
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
    tiles = buffer[known.numel() :][: 3 * C * n * K].view(n * K, 3 * C)
    torch.index_select(known, 0, where[rows.tiles.keys.flatten()], out=tiles)
    q, k, v = tiles.view(n, K, 3, H, D).permute(2, 0, 3, 1, 4)  # (n, H, K, D) each
    mask = rows.tiles.mask[:, None].to(q.dtype)
    z = F.scaled_dot_product_attention(q[:, :, K - W :], k, v, mask, scale=attn.scale)
    z = z.transpose(1, 2).reshape(n * W, C)  # which is how it lies in memory
    return z.index_select(0, rows.tiles.place[rows.wanted]).unflatten(1, (H, D))


def _add(layer: nn.Linear, x: torch.Tensor, stream: torch.Tensor, name: str, edit: Edit) -> None:
    """Add to the stream (R, C) what the layer makes of x (R, in), an activation of that name."""
    if edit is no_edit:  # then it need not be written down
        stream.add_(layer.bias).addmm_(x, layer.weight.t())
    else:
        out = layer(x)
        edit(name, out)
        stream.add_(out)


def mlp(layer: MLP, x: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """What the MLP adds to the stream, (R, C), from the rows after LayerNorm."""
    return layer.c_proj(hidden(layer, x, buffer))


def hidden(layer: MLP, x: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """What an MLP holds inside, (R, M), written to the beginning of `buffer`."""
    out = buffer[: len(x) * layer.c_fc.out_features].view(len(x), -1)
    torch.mm(x, layer.c_fc.weight.t(), out=out)
    activate_(layer.act, out, layer.c_fc.bias)
    return out


def activate_(act: nn.Module, x: torch.Tensor, bias: torch.Tensor) -> None:
    """An MLP's activation function of x + bias, in place of x.

    GPT-2's GELU is x / 2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3). Since
    (1 + tanh(u)) / 2 = sigmoid(2 u) it is x sigmoid(2 u); torch's own, by way of the tanh, takes
    twice as long.
    """
    is_tanh_gelu = isinstance(act, nn.GELU) and act.approximate == "tanh"
    c = 2 * math.sqrt(2 / math.pi)
    constant = x.new_tensor(c, dtype=torch.float)
    for rows in x.split(max(1, IN_CACHE // x.shape[1])):
        rows.add_(bias)
        if not is_tanh_gelu:
            rows.copy_(act(rows))
            continue
        wide = rows.float()  # in half precision 2 u would be off by percents
        factor = torch.addcmul(constant, wide, wide, value=0.044715 * c)  # 2 u / x
        rows.mul_(factor.mul_(wide).sigmoid_())
