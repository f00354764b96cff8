"""The engine: many patched runs, each from where it begins to differ from its base to its end.

A run that was changed before block r at position p differs from its base only at p and later, and
only from block r on; before p it attends to the base's keys and values. So of each run only the
rows from p to the end are computed, and those of all runs under way are packed into one matrix
for everything that works position by position (LayerNorm, query, key, value, projection, MLP):
the weights are read once for all. To attend, the rows go to their places among the base's
(`core.engine.pack` draws this).

In block r itself, where a patch has changed position p alone, the rows after p are still those of
the base: their queries, keys and values are known, and only what they attend to is new.

It knows neither what was patched nor why, and writes nothing to the model: any number of threads
may share one.

Shapes: T tokens, C channels, M of them inside an MLP, H heads of D = C / H channels; N runs with R
rows in all.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

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
    base: torch.Tensor | None  # (N,) which base each run belongs to; None where there is but one
    runs: int  # N
    before: int  # how many of them were under way before this block
    first: int  # no run begins before this position
    new: torch.Tensor | slice  # the R' rows that differ from the base already before this block
    wanted: torch.Tensor | slice  # the R'' rows of which the stream after the block is wanted


def step(
    block: Block,
    x: torch.Tensor,
    rows: Rows,
    bases: torch.Tensor,
    buffer: torch.Tensor,
    edit: Edit = no_edit,
) -> torch.Tensor:
    """One block over the stream x (R, C) of the rows; gives that of the rows that are wanted,
    (R'', C): x itself, overwritten, where all of them are.

    `bases` (3, P, H, T, D) are the queries, keys and values of P bases in this block. `buffer` has
    `buffer_size` numbers or more, to write the largest tensors to.
    """
    z = attend(block.attn, block.ln_1(x[rows.new]), rows, bases, buffer)
    return after(block, x[rows.wanted], z, buffer, edit)


def after(
    block: Block, x: torch.Tensor, z: torch.Tensor, buffer: torch.Tensor, edit: Edit = no_edit
) -> torch.Tensor:
    """The stream after a block, from that before it, x (R'', C), overwritten, and from its heads'
    outputs z (R'', H, D)."""
    edit("z", z)
    _add(block.attn.c_proj, z.flatten(1), x, "attn_out", edit)
    del z  # which takes up as much as the stream
    _add(block.mlp.c_proj, _hidden(block.mlp, block.ln_2(x), buffer), x, "mlp_out", edit)
    edit("resid_post", x)
    return x


def buffer_size(R: int, N: int, T: int, C: int, M: int) -> int:
    """How many numbers a step's largest tensors hold: in the attention queries, keys and values,
    of the rows and once more at their places among the base's; in the MLP the wide hidden layer.
    They are written to one buffer that lasts a whole sweep, since steps grow from block to block,
    and an allocator cannot give a larger one what smaller ones gave back: it would take twice the
    memory."""
    return max(3 * C * (N * T + R), M * R)


def step_bytes(R: int, N: int, first: int, T: int, C: int, H: int, itemsize: int) -> int:
    """What a step takes up at its peak, in the attention, besides the rows' stream and its buffer,
    in bytes: LayerNorm's output, and in float32 the scores before and after the softmax and what
    comes of them; in half precision also float32 copies of what the scores are made of."""
    S = T - first
    scores = 4 * (2 * N * H * T * S + N * C * S)
    copies = 4 * N * C * (S + 2 * T) if itemsize < 4 else 0
    return itemsize * C * R + scores + copies


def attend(
    attn: CausalSelfAttention,
    x: torch.Tensor,
    rows: Rows,
    bases: torch.Tensor,
    buffer: torch.Tensor,
) -> torch.Tensor:
    """The heads' outputs z in the rows that are wanted, (R'', H, D); x (R', C) are the new rows
    after LayerNorm."""
    N, first, (_, _, H, T, D) = rows.runs, rows.first, bases.shape
    qkv = _linear(attn.c_attn, x, buffer).unflatten(-1, (3, H, D))  # (R', 3, H, D)
    places = buffer[qkv.numel() :]
    kv = places[: 2 * N * T * H * D].view(2, N, H, T, D)
    q = places[kv.numel() :][: N * (T - first) * H * D].view(N, H, T - first, D)
    _copy_bases(kv, bases[1:], rows.base)
    # Of the runs that join, all queries but one are the base's. Of the others those before their p
    # are whatever the buffer holds: nobody reads what comes of them.
    of_joining = rows.base if rows.base is None else rows.base[rows.before :]
    _copy_bases(q[None, rows.before :], bases[:1, :, :, first:], of_joining)
    run, position = rows.run[rows.new], rows.position[rows.new]
    q[run, :, position - first] = qkv[:, 0]
    kv[:, run, :, position] = qkv[:, 1:]
    z = mix(q, *kv, attn.scale)  # (N, H, S, D)
    return z[rows.run[rows.wanted], :, rows.position[rows.wanted] - first]  # (R'', H, D)


def _copy_bases(places: torch.Tensor, bases: torch.Tensor, base: torch.Tensor | None) -> None:
    """Into the places (K, N, H, S, D) of N runs what their bases (K, P, H, S, D) have."""
    if base is None:
        places.copy_(bases)
    else:
        torch.index_select(bases, 1, base, out=places)


def mix(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """softmax(scale q k^T) v, causal, of the last S positions: queries (N, H, S, D), keys and
    values (N, H, T, D) -> (N, H, S, D).

    Written out, since torch's own takes twice as long for texts of some ten tokens, and with the
    keys before the queries, (N H, T, S), since a softmax along the last axis takes such short
    rows one by one.
    """
    shape, dtype = q.shape, q.dtype
    # Scores in half precision would be off by tenths.
    q, k, v = (part.float().flatten(0, 1) for part in (q, k, v))
    T, S = k.shape[1], q.shape[1]
    unseen = q.new_full((T, S), -torch.inf).tril(S - T - 1)  # a key later than its query
    scores = torch.baddbmm(unseen, k, q.transpose(1, 2), alpha=scale)
    return (scores.softmax(1).transpose(1, 2) @ v).view(shape).to(dtype)


def _add(layer: nn.Linear, x: torch.Tensor, stream: torch.Tensor, name: str, edit: Edit) -> None:
    """Add to the stream (R, C) what the layer makes of x (R, in), an activation of that name."""
    if edit is no_edit:  # then it need not be written down
        torch.addmm(stream.add_(layer.bias), x, layer.weight.t(), out=stream)
    else:
        out = layer(x)
        edit(name, out)
        stream.add_(out)


def mlp(layer: MLP, x: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """What the MLP adds to the stream, (R, C), from the rows after LayerNorm."""
    return layer.c_proj(_hidden(layer, x, buffer))


def _hidden(layer: MLP, x: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """What an MLP holds inside, (R, M), written to the beginning of `buffer`."""
    out = buffer[: len(x) * layer.c_fc.out_features].view(len(x), -1)
    torch.mm(x, layer.c_fc.weight.t(), out=out)
    activate_(layer.act, out, layer.c_fc.bias)
    return out


def activation_bytes(R: int, M: int, itemsize: int) -> int:
    """What `activate_` makes of R rows on the way."""
    return min(R * M, max(IN_CACHE, M)) * (4 if itemsize == 4 else 8)


def _linear(layer: nn.Linear, x: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """The layer's output for x (R, in), (R, out), written to the beginning of `buffer`."""
    out = buffer[: len(x) * layer.out_features].view(len(x), layer.out_features)
    return torch.addmm(layer.bias, x, layer.weight.t(), out=out)


def activate_(act: nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None) -> None:
    """An MLP's activation function in place, of x with the `bias` added.

    GPT-2's GELU is x / 2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3). Since
    (1 + tanh(u)) / 2 = sigmoid(2 u) it is x sigmoid(2 u); torch's own, by way of the tanh, takes
    twice as long.
    """
    is_tanh_gelu = isinstance(act, nn.GELU) and act.approximate == "tanh"
    c = 2 * math.sqrt(2 / math.pi)
    constant = x.new_tensor(c, dtype=torch.float)
    for rows in x.split(max(1, IN_CACHE // x.shape[1])):
        if bias is not None:
            rows.add_(bias)
        if not is_tanh_gelu:
            rows.copy_(act(rows))
            continue
        wide = rows.float()  # in half precision 2 u would be off by percents
        factor = torch.addcmul(constant, wide, wide, value=0.044715 * c)  # 2 u / x
        rows.mul_(factor.mul_(wide).sigmoid_())
        del wide, factor  # before those of the next rows are made
