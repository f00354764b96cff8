"""The engine: many patched runs of one base text, from where each begins to differ to its end.

A run that was changed before block r at position p differs from its base only at p and later, and
only from block r on; before p it attends to the base's keys and values. So of each run only the
rows from p to the end are computed, and those of all runs under way are packed into one matrix
for everything that works position by position (LayerNorm, query, key, value, projection, MLP):
the weights are read once for all. To attend, the rows go to their places among the base's.

It knows neither what was patched nor why, and writes nothing to the model: any number of threads
may share one.

Shapes: T tokens, C channels; N runs with R rows in all. A row's place is run * T + position.
"""

import torch
from torch.nn import functional as F

from mingpt.model import Block, CausalSelfAttention, merge_heads, split_heads


def step(
    block: Block,
    x: torch.Tensor,
    places: torch.Tensor,
    ends: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    ends_only: bool,
) -> torch.Tensor:
    """One block over the rows x (R, C) at `places` (R,), `ends` (N,) being each run's last row;
    `keys` and `values` (T, C) are the base's in this block. Gives (R, C).

    With `ends_only` it gives the last rows alone, (N, C): all that is read of the last block,
    which needs every row's key and value, but of the ends alone the query and the MLP.
    """
    attn_out = _attend(block.attn, block.ln_1(x), places, ends, keys, values, ends_only)
    x = (x[ends] if ends_only else x) + attn_out
    return x + block.mlp(block.ln_2(x))


def floats_per_channel(R: int, N: int, T: int) -> int:
    """What a step takes up at its peak, in numbers per channel. In the attention these are the
    stream, its LayerNorm, query, key and value at their places among the base's, z there, z of
    the rows, and the output; in the MLP the stream before and after the attention, its LayerNorm,
    and the four-fold hidden layer before and after the GELU."""
    return max(4 * R + 4 * N * T, 11 * R)


def _attend(
    attn: CausalSelfAttention,
    x: torch.Tensor,
    places: torch.Tensor,
    ends: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    ends_only: bool,
) -> torch.Tensor:
    """What attention adds to the stream: x (R, C), after LayerNorm -> (R, C), or (N, C) of the
    ends only."""
    (T, C), N = keys.shape, len(ends)
    if ends_only:
        q_weight, kv_weight = attn.c_attn.weight.split((C, 2 * C))
        q_bias, kv_bias = attn.c_attn.bias.split((C, 2 * C))
        q = F.linear(x[ends], q_weight, q_bias)[:, None]  # (N, 1, C)
        k, v = F.linear(x, kv_weight, kv_bias).split(C, dim=-1)  # (R, C) each
    else:
        q, k, v = attn.c_attn(x).split(C, dim=-1)  # (R, C) each
        q = _into(q.new_zeros(N, T, C), places, q)
    k, v = _into(keys.repeat(N, 1, 1), places, k), _into(values.repeat(N, 1, 1), places, v)
    q, k, v = (split_heads(part, attn.n_head) for part in (q, k, v))
    z = F.scaled_dot_product_attention(q, k, v, is_causal=not ends_only)
    z = merge_heads(z).flatten(0, 1)
    return attn.c_proj(z if ends_only else z[places])


def _into(full: torch.Tensor, places: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Put rows (R, C) at their places into all rows of all runs, (N, T, C)."""
    full.flatten(0, 1).index_copy_(0, places, rows)
    return full
