"""The attention of the last block, of which nothing is read but what the last position takes in.

With a single query in each run no key and no value has to be made: a query q meets the key of a row
x as q · (W x + b) = (W^T q) · x + q · b, and of the values W x + b their mix by weights a that sum
to s is W (sum of a x) + s b. So queries, keys and values take three products with (C, C) for each
run, not for each of its rows, and a row only its inner products with H vectors.

Shapes: T tokens, C channels, H heads of D = C / H channels; N runs with R rows in all, which lie
within the last S positions.
"""

import torch
from torch.nn import functional as F

from core.engine.suffix import Rows
from mingpt.model import CausalSelfAttention


def attend(
    attn: CausalSelfAttention, x: torch.Tensor, rows: Rows, bases: torch.Tensor
) -> torch.Tensor:
    """The heads' outputs at the last position of each run, (N, H, D), from the rows x (R, C) after
    LayerNorm. `bases` (3, P, H, T, D) are queries, keys and values of P bases in this block."""
    N, (_, _, H, T, D) = rows.runs, bases.shape
    (R, C), S, dtype = x.shape, T - rows.first, x.dtype
    is_end = rows.position == T - 1
    query = F.linear(x[is_end], attn.c_attn.weight[:C], attn.c_attn.bias[:C])
    # Scores in half precision would be off by tenths.
    query = query.float().view(N, H, D).transpose(0, 1)  # (H, N, D)
    weights = attn.c_attn.weight.float().view(3, H, D, C)
    biases = attn.c_attn.bias.float().view(3, H, 1, D)
    is_own = torch.ones(N, 1, S, dtype=torch.bool, device=x.device)
    own = x.float()
    if R < N * S:  # the rows go to their places
        at = rows.run, rows.position - rows.first
        is_own = torch.zeros_like(is_own).index_put_((at[0], at[1] * 0, at[1]), is_own.new_ones(()))
        own = own.new_zeros(N * S, C).index_copy_(0, at[0] * S + at[1], own)
    own = own.view(N, S, C)
    asks = (query @ weights[1]).transpose(0, 1)  # (N, H, C)
    offset = (query * biases[1]).sum(-1).T  # (N, H)
    scores = _of_bases(query, bases[1].float().mT, rows.base)  # (N, H, T)
    found = (asks @ own.mT).add_(offset[..., None])
    scores[..., -S:] = torch.where(is_own, found, scores[..., -S:])
    pattern = scores.mul_(attn.scale).softmax(-1)
    mine = pattern[..., -S:] * is_own  # (N, H, S)
    pattern[..., -S:].masked_fill_(is_own, 0)
    mix = (mine @ own).transpose(0, 1) @ weights[2].mT  # (H, N, D)
    mix += mine.sum(-1).T[..., None] * biases[2]
    of_base = _of_bases(pattern.transpose(0, 1), bases[2].float(), rows.base)
    return mix.transpose(0, 1).add_(of_base).to(dtype)


def _of_bases(x: torch.Tensor, bases: torch.Tensor, base: torch.Tensor | None) -> torch.Tensor:
    """Of each run the product of x (H, N, K) with what its base has, of P bases (P, H, K, X):
    (N, H, X)."""
    if base is None:
        return (x @ bases[0]).transpose(0, 1)
    return (x.transpose(0, 1)[:, :, None] @ bases[base]).squeeze(2)


def work(C: int, M: int, H: int, T: int, S: int) -> int:
    """Operations of the last block for one run of S rows, C M being the size of its MLP."""
    return 8 * C**2 + 4 * C * M + 4 * C * H * S + 4 * C * T


def step_bytes(R: int, N: int, T: int, C: int, H: int) -> int:
    """What the attention takes up at its peak besides the rows' stream, in bytes, where each run
    has R / N rows: LayerNorm's output, what the queries ask of the rows, and scores."""
    return 4 * (R * C + N * H * (C + 3 * T))
