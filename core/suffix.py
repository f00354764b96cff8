"""The engine: many patched runs of one base text, from where each begins to differ to its end.

A run that was changed before block r at position p differs from its base only at p and later, and
only from block r on; before p it attends to the base's keys and values. So of each run only the
rows from p to the end are computed, and those of all runs under way are packed into one matrix
for everything that works position by position (LayerNorm, query, key, value, projection, MLP):
the weights are read once for all. To attend, the rows go to their places among the base's.

It knows neither what was patched nor why, and writes nothing to the model: any number of threads
may share one.

Shapes: T tokens, C channels, H heads of D = C / H channels; N runs with R rows in all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from mingpt.model import Block, CausalSelfAttention


class Rows(NamedTuple):
    """Where the packed rows are: run after run, of each those from its beginning to its end."""

    run: torch.Tensor  # (R,)
    position: torch.Tensor  # (R,)
    runs: int  # N
    first: int  # no run begins before this position
    read: torch.Tensor | slice  # the rows of which the stream is wanted: all, or (R',)


def step(
    block: Block,
    x: torch.Tensor,
    rows: Rows,
    base: torch.Tensor,
    plain: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """One block over the stream x (R, C) of the rows; gives that of the rows that are read,
    (R', C). Every row needs its key and value, but only those the query and the MLP.

    `base` (T, 2 C) are the base's keys and, beside them, its values in this block. If the runs
    begin with some plain ones, all of their rows, then `plain` is where their keys and values
    are to be written, the base's own among them.
    """
    attn_out = _attend(block.attn, block.ln_1(x), rows, base, plain)
    x = x[rows.read] + attn_out
    return x + block.mlp(block.ln_2(x))


def floats(R: int, N: int, first: int, T: int, C: int, H: int) -> int:
    """How many numbers a step takes up at its peak. In the attention these are the rows' stream,
    LayerNorm, query, key and value, the latter three at their places among the base's, and the
    scores before and after the softmax; in the MLP the stream before and after the attention,
    what that added, LayerNorm, and the four-fold hidden layer before and after the GELU."""
    S = T - first
    return max(C * (5 * R + N * (2 * T + S)) + 2 * N * H * T * S, C * 12 * R)


def _attend(
    attn: CausalSelfAttention,
    x: torch.Tensor,
    rows: Rows,
    base: torch.Tensor,
    plain: Sequence[torch.Tensor],
) -> torch.Tensor:
    """What attention adds to the stream of the rows that are read: x (R, C), after LayerNorm ->
    (R', C)."""
    (T, C), N, H = (len(base), x.shape[1]), rows.runs, attn.n_head
    q, kv = _project(attn, x, rows.read)  # (R', C), (R, 2 C)
    for place, own in zip(plain, kv.split(T)[: len(plain)], strict=True):
        place.copy_(own)

    run, position = rows.run[rows.read], rows.position[rows.read] - rows.first
    queries = x.new_empty(N, H, T - rows.first, C // H)  # nobody reads those not written here
    queries[run, :, position] = q.unflatten(-1, (H, -1))
    of_base = base.view(T, 2, 1, H, -1).permute(1, 2, 3, 0, 4)  # (2, 1, H, T, D)
    keys_values = of_base.repeat(1, N, 1, 1, 1)
    keys_values[:, rows.run, :, rows.position] = kv.unflatten(-1, (2, H, -1))
    z = _mix(queries, *keys_values)[run, :, position]  # (R', H, D)
    return attn.c_proj(z.reshape(-1, C))


def _project(
    attn: CausalSelfAttention, x: torch.Tensor, read: torch.Tensor | slice
) -> tuple[torch.Tensor, torch.Tensor]:
    """x (R, C) -> the queries of the rows that are read, (R', C), and every row's key and value
    side by side, (R, 2 C)."""
    parts = (x.shape[1], 2 * x.shape[1])
    if isinstance(read, slice):
        return attn.c_attn(x).split(parts, dim=1)
    (q_weight, kv_weight), (q_bias, kv_bias) = (
        parameter.split(parts) for parameter in (attn.c_attn.weight, attn.c_attn.bias)
    )
    return F.linear(x[read], q_weight, q_bias), F.linear(x, kv_weight, kv_bias)


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
