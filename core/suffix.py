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

from typing import NamedTuple

import torch
from torch.nn import functional as F

from mingpt.model import Block, CausalSelfAttention, split_heads


class Rows(NamedTuple):
    """Where the packed rows are: run after run, of each those from its beginning to its end."""

    run: torch.Tensor  # (R,)
    position: torch.Tensor  # (R,)
    ends: torch.Tensor  # (N,) each run's last row
    first: int  # no run begins before this position


def step(
    block: Block,
    x: torch.Tensor,
    rows: Rows,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    ends_only: bool,
) -> torch.Tensor:
    """One block over the stream x (R, C) of the rows; `keys` and `values` (T, C) are the base's
    in this block. Gives (R, C).

    With `ends_only` it gives the last rows alone, (N, C): all that is read of the last block,
    which needs every row's key and value, but of the ends alone the query and the MLP.
    """
    attn_out = _attend(block.attn, block.ln_1(x), rows, keys, values, ends_only)
    x = (x[rows.ends] if ends_only else x) + attn_out
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
    keys: torch.Tensor,
    values: torch.Tensor,
    ends_only: bool,
) -> torch.Tensor:
    """What attention adds to the stream: x (R, C), after LayerNorm -> (R, C), or (N, C) of the
    ends only."""
    (T, C), N, H = keys.shape, len(rows.ends), attn.n_head
    if ends_only:
        q_weight, kv_weight = attn.c_attn.weight.split((C, 2 * C))
        q_bias, kv_bias = attn.c_attn.bias.split((C, 2 * C))
        q = F.linear(x[rows.ends], q_weight, q_bias).view(N, H, 1, -1)
        k, v = F.linear(x, kv_weight, kv_bias).chunk(2, dim=-1)  # (R, C) each
    else:
        q, k, v = attn.c_attn(x).chunk(3, dim=-1)  # (R, C) each
        # What is not written to here are queries that nobody reads.
        q_places = x.new_empty(N, H, T - rows.first, C // H)
        q = _put(q_places, rows.run, rows.position - rows.first, q)
    k = _put(split_heads(keys[None], H).repeat(N, 1, 1, 1), rows.run, rows.position, k)
    v = _put(split_heads(values[None], H).repeat(N, 1, 1, 1), rows.run, rows.position, v)
    z = _mix(q, k, v)  # (N, H, S, D)
    z = z if ends_only else z[rows.run, :, rows.position - rows.first]  # (R, H, D)
    return attn.c_proj(z.reshape(-1, C))


def _put(
    places: torch.Tensor, run: torch.Tensor, position: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """Write rows x (R, C) to their places, (N, H, positions, D)."""
    places[run, :, position] = x.unflatten(-1, (places.shape[1], -1))
    return places


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
