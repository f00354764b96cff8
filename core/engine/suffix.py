"""The engine: many patched runs of one base text, from where each begins to differ to its end.

A run that was changed before block r at position p differs from its base only at p and later, and
only from block r on; before p it attends to the base's keys and values. So of each run only the
rows from p to the end are computed, and those of all runs under way are packed into one matrix
for everything that works position by position (LayerNorm, query, key, value, projection, MLP):
the weights are read once for all. To attend, the rows go to their places among the base's.

In block r itself the rows behind p are the base's still: what they ask and offer is known, and
differs only in what they see.

It knows neither what was patched nor why, and writes nothing to the model: any number of threads
may share one.

Shapes: T tokens, C channels, H heads of D = C / H channels; N runs with R rows in all.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from mingpt.model import MLP, Block, CausalSelfAttention

# So many rows go through all operations of the GELU before the next do: they stay in the cache.
_ROWS_IN_CACHE = 64


class Rows(NamedTuple):
    """Where the packed rows are: run after run, of each those from its beginning to its end."""

    run: torch.Tensor  # (R,)
    position: torch.Tensor  # (R,)
    runs: int  # N
    first: int  # no run begins before this position
    new: torch.Tensor | slice  # R' rows, all but those in which a run is its base still
    read: torch.Tensor | slice  # the R'' rows of which the stream after the block is wanted


def step(
    block: Block,
    x: torch.Tensor,
    rows: Rows,
    base: torch.Tensor,
    room: torch.Tensor,
    plain: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """One block over the stream x (R, C) of the rows; gives that of the rows that are read,
    (R'', C): x itself, overwritten, where all of them are.

    `base` (T, 3 C) are the base's queries, keys and values in this block, side by side. `room` has
    `room_for` numbers or more, to write the largest tensors to. If the runs begin with some plain
    ones, all of their rows and all of them new, then `plain` is where their queries, keys and
    values are to be written, the base's own among them.
    """
    x = x[rows.read].add_(_attend(block.attn, block.ln_1(x[rows.new]), rows, base, room, plain))
    return x.add_(_mlp(block.mlp, block.ln_2(x), room))


def room_for(R: int, N: int, T: int, C: int) -> int:
    """How many numbers a step's largest tensors are: in the attention queries, keys and values at
    their places among the base's, in the MLP the four-fold hidden layer. They have a room of their
    own since steps that grow from block to block leave an allocator with holes that are too small
    for the next: it would take twice the memory."""
    return C * max(3 * N * T, 4 * R)


def floats(R: int, N: int, first: int, T: int, C: int, H: int) -> int:
    """How many numbers a step takes up at its peak, in the attention, besides the rows' stream and
    its room: LayerNorm, query, key and value, the scores before and after the softmax, and what
    comes of them."""
    S = T - first
    return C * (4 * R + N * S) + 2 * N * H * T * S


def _attend(
    attn: CausalSelfAttention,
    x: torch.Tensor,
    rows: Rows,
    base: torch.Tensor,
    room: torch.Tensor,
    plain: Sequence[torch.Tensor],
) -> torch.Tensor:
    """What attention adds to the stream of the rows that are read, (R'', C); x (R', C) are the
    new rows after LayerNorm."""
    T, N, H = len(base), rows.runs, attn.n_head
    qkv = attn.c_attn(x)  # (R', 3 C)
    for i, place in enumerate(plain):  # they come first
        place.copy_(qkv[i * T :][:T])
    heads = base.view(T, 3, 1, H, -1).permute(1, 2, 3, 0, 4)  # (3, 1, H, T, D)
    places = room[: N * base.numel()].view(3, N, H, T, -1)
    places.copy_(heads)
    places[:, rows.run[rows.new], :, rows.position[rows.new]] = qkv.unflatten(-1, (3, H, -1))
    q, k, v = places
    z = _mix(q[:, :, rows.first :], k, v)  # (N, H, S, D)
    z = z[rows.run[rows.read], :, rows.position[rows.read] - rows.first]  # (R'', H, D)
    return attn.c_proj(z.flatten(1))


def _mix(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(D)) v, causal, of the last S positions: queries (N, H, S, D), keys and
    values (N, H, T, D) -> (N, H, S, D).

    Written out, since torch's own takes twice as long for texts of some ten tokens, and with the
    keys before the queries, (N H, T, S), since a softmax along the last axis takes such short
    rows one by one.
    """
    shape, dtype, D = q.shape, q.dtype, q.shape[-1]
    # Scores in half precision would be off by tenths.
    q, k, v = (part.float().flatten(0, 1) for part in (q, k, v))
    T, S = k.shape[1], q.shape[1]
    unseen = q.new_full((T, S), -torch.inf).tril(S - T - 1)  # a key later than its query
    scores = torch.baddbmm(unseen, k, q.transpose(1, 2), alpha=D**-0.5)
    return (scores.softmax(1).transpose(1, 2) @ v).view(shape).to(dtype)


def _mlp(mlp: MLP, x: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
    """What the MLP adds to the stream, (R, C), from the rows after LayerNorm."""
    hidden = room[: 4 * x.numel()].view(len(x), -1)  # (R, 4 C)
    torch.addmm(mlp.c_fc.bias, x, mlp.c_fc.weight.t(), out=hidden)
    gelu_(hidden)
    return mlp.c_proj(hidden)


def gelu_(x: torch.Tensor) -> None:
    """GPT-2's GELU in place: x / 2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3).

    Since (1 + tanh(u)) / 2 = sigmoid(2 u) it is x sigmoid(2 u); torch's own, by way of the tanh,
    takes twice as long.
    """
    c = 2 * math.sqrt(2 / math.pi)
    constant = x.new_tensor(c, dtype=torch.float)
    for rows in x.split(_ROWS_IN_CACHE):
        wide = rows.float()  # in half precision 2 u would be off by percents
        factor = torch.addcmul(constant, wide, wide, value=0.044715 * c)  # 2 u / x
        rows.mul_(factor.mul_(wide).sigmoid_())
