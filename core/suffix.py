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

from collections.abc import Sequence
from typing import NamedTuple

import torch

from mingpt.model import Block, CausalSelfAttention


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
    plain: Sequence[torch.Tensor] = (),
) -> torch.Tensor:
    """One block over the stream x (R, C) of the rows; gives that of the rows that are read,
    (R'', C).

    `base` (T, 3 C) are the base's queries, keys and values in this block, side by side. If the
    runs begin with some plain ones, all of their rows and all of them new, then `plain` is where
    theirs are to be written, the base's own among them.
    """
    x = x[rows.read] + _attend(block.attn, block.ln_1(x[rows.new]), rows, base, plain)
    return x + block.mlp(block.ln_2(x))


def floats(R: int, N: int, first: int, T: int, C: int, H: int) -> int:
    """How many numbers a step takes up at its peak. In the attention these are the rows' stream,
    LayerNorm, query, key and value, the latter three at their places among the base's, the scores
    before and after the softmax, and what comes of them; in the MLP the stream before and after
    the attention, LayerNorm, the four-fold hidden layer before and after the GELU, its output."""
    S = T - first
    return max(C * (5 * R + N * (3 * T + S)) + 2 * N * H * T * S, C * 12 * R)


def _attend(
    attn: CausalSelfAttention,
    x: torch.Tensor,
    rows: Rows,
    base: torch.Tensor,
    plain: Sequence[torch.Tensor],
) -> torch.Tensor:
    """What attention adds to the stream of the rows that are read, (R'', C); x (R', C) are the
    new rows after LayerNorm."""
    T, H = len(base), attn.n_head
    qkv = attn.c_attn(x)  # (R', 3 C)
    for place, own in zip(plain, qkv.split(T), strict=False):  # they come first
        place.copy_(own)
    heads = base.view(T, 3, 1, H, -1).permute(1, 2, 3, 0, 4)  # (3, 1, H, T, D)
    places = heads.repeat(1, rows.runs, 1, 1, 1)  # (3, N, H, T, D)
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
