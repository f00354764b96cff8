"""The engine: many patched runs of one base text, from where each begins to differ to its end.

A run that was changed before block r at position p differs from its base only at p and later, and
only from block r on; before p it attends to the base's keys and values. All runs under way are
packed into one matrix for everything that works position by position (LayerNorm, query, key,
value, projection, MLP), so the weights are read once for all, and parted only to attend.

It knows neither what was patched nor why, and writes nothing to the model: any number of threads
may share one.

Shapes: T tokens, C channels, H heads of D = C / H channels; runs are kept in groups that begin at
one position p, a group being (n, S, C) for n runs of S = T - p rows.
"""

import torch
from torch.nn import functional as F

from mingpt.model import Block, merge_heads, split_heads

Groups = dict[int, torch.Tensor]  # p -> (n, S, C)

# Numbers per channel that a packed row needs where a block is widest: the stream, its LayerNorm,
# and the MLP's four-fold hidden layer before and after the GELU.
WIDEST = 1 + 1 + 4 + 4


def step(
    block: Block, groups: Groups, keys: torch.Tensor, values: torch.Tensor, *, last_only: bool
) -> Groups:
    """One block over all groups; `keys` and `values` (H, T, D) are the base's in this block.

    With `last_only` what comes out is the last position alone, (n, 1, C): all that matters after
    the last block, which needs every row's key and value, but one row's query and MLP only.
    """
    q_groups = {p: x[:, -1:] for p, x in groups.items()} if last_only else groups
    stream = _pack(q_groups)  # (q rows, C)
    C = stream.shape[-1]
    q_weight, kv_weight = block.attn.c_attn.weight.split((C, 2 * C))
    q_bias, kv_bias = block.attn.c_attn.bias.split((C, 2 * C))
    q = F.linear(block.ln_1(stream), q_weight, q_bias)
    kv = F.linear(block.ln_1(_pack(groups)), kv_weight, kv_bias)  # (rows, 2 C)
    z = [
        _attend(q_part, kv_part, keys, values)
        for q_part, kv_part in zip(
            _unpack(q, q_groups).values(), _unpack(kv, groups).values(), strict=True
        )
    ]
    stream = stream + block.attn.c_proj(torch.cat([part.flatten(0, 1) for part in z]))
    stream = stream + block.mlp(block.ln_2(stream))
    return _unpack(stream, q_groups)


def _attend(
    q: torch.Tensor, kv: torch.Tensor, base_keys: torch.Tensor, base_values: torch.Tensor
) -> torch.Tensor:
    """Attention of n runs that begin at position p = T - S, to themselves and to what the base
    has before p: q (n, Q, C) for the last Q positions, kv (n, S, 2 C) -> (n, Q, C)."""
    H, T, _ = base_keys.shape
    n, Q, _ = q.shape
    p = T - kv.shape[1]
    k, v = (split_heads(part, H) for part in kv.chunk(2, dim=-1))  # (n, H, S, D)
    k = torch.cat((base_keys[:, :p].expand(n, -1, -1, -1), k), dim=2)  # (n, H, T, D)
    v = torch.cat((base_values[:, :p].expand(n, -1, -1, -1), v), dim=2)
    sees = torch.ones(Q, T, dtype=torch.bool, device=q.device).tril(T - Q)
    return merge_heads(F.scaled_dot_product_attention(split_heads(q, H), k, v, attn_mask=sees))


def _pack(groups: Groups) -> torch.Tensor:
    """All rows of all groups in one matrix, (rows, C)."""
    return torch.cat([x.flatten(0, 1) for x in groups.values()])


def _unpack(rows: torch.Tensor, like: Groups) -> Groups:
    """The inverse of `_pack`: (rows, any) back into groups of n and S as in `like`."""
    sizes = [x.shape[0] * x.shape[1] for x in like.values()]
    return {
        p: part.view(*x.shape[:2], -1)
        for (p, x), part in zip(like.items(), rows.split(sizes), strict=True)
    }
