"""The sweep: the final state of every patched run, exact, and nothing computed twice.

Token ids in, states out: this knows no text, no tokenizer and no metric, and it writes nothing to
the model, so that any number of threads may share one.

The plain way is one forward pass for every cell (`GPT.forward(patch_params=...)`). Four facts
make most of that work unnecessary, without any approximation:

- A patch before block r at position p changes nothing before p and nothing below block r. So a
  patched run is computed from there on only, and attends to the keys and values that the
  unpatched run (the base) has kept for the positions before p.
- While both texts have the same tokens, both have the same activations: a cell before the first
  differing position is the base itself.
- What is read in the end is the last position: the last block needs its keys and values at all
  positions, but everything else at the last one only. A patch after the last block moves nothing
  but the last position, and makes it the other run's.
- All runs read the same weights: their rows are packed into one matrix for everything that works
  position by position, and parted only to attend.

Shapes: T tokens, L blocks, C channels, H heads of D = C / H channels, V vocabulary; n runs
patched at one position p, each with S = T - p rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from mingpt.model import GPT, Block, merge_heads, split_heads

# What one step of a sweep may take up, in bytes; larger matrices are not multiplied any faster.
WORKING_MEMORY = 128 << 20

# Numbers per channel that a packed row needs where a block is widest: the stream, its LayerNorm,
# and the MLP's four-fold hidden layer before and after the GELU.
_WIDEST = 1 + 1 + 4 + 4


@dataclass(frozen=True)
class Run:
    """An unpatched forward pass, and what patched runs need of it."""

    ids: tuple[int, ...]
    resid: torch.Tensor  # (L + 1, T, C) the residual stream before each block and after the last
    keys: torch.Tensor  # (L, H, T, D)
    values: torch.Tensor  # (L, H, T, D)
    state: torch.Tensor  # (C,) the last position after the final LayerNorm


@torch.inference_mode()
def record(model: GPT, ids: tuple[int, ...]) -> Run:
    """Run token ids through `model`, keeping what a sweep needs."""
    x = model.embed(torch.tensor([ids], device=model.lm_head.weight.device))  # (1, T, C)
    resid, keys, values = [x], [], []
    for block in model.transformer.h:
        q, k, v = block.attn.qkv(block.ln_1(x))  # (1, H, T, D) each
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = _add_to_stream(block, x, merge_heads(z))
        resid.append(x)
        keys.append(k)
        values.append(v)
    return Run(
        tuple(ids),
        torch.cat(resid),
        torch.cat(keys),
        torch.cat(values),
        model.transformer.ln_f(x[0, -1]),
    )


def sweep(
    model: GPT, base: Run, source: Run, *, embedding: bool = False
) -> Iterator[tuple[float, torch.Tensor]]:
    """Patch `source`'s resid_post into `base`, one layer and one position at a time.

    Yields the fraction of the work that is done and the states (L, T, C) so far: of the run
    patched at each layer and position, the last position after the final LayerNorm; NaN where it
    is not known yet. It is the same tensor every time, complete when the fraction is 1. With
    `embedding` it has a first row more, for patches into the input of block 0.

    The two runs must have the same number of tokens. Closing the generator cancels the sweep.
    """
    L, T = model.config.n_layer, len(base.ids)
    # Row r is the stream before block r: the embedding for 0, resid_post of layer r - 1 above.
    first = 0 if embedding else 1
    same = [a == b for a, b in zip(base.ids, source.ids, strict=True)]
    parted = same.index(False) if False in same else T
    states = torch.full_like(base.resid[first:], torch.nan)
    states[:, :parted] = base.state
    states[-1] = base.state
    states[-1, -1] = source.state

    chunks = list(_chunks(range(first, L), range(parted, T), T, states))
    done, total = 0, sum(_work(rows, positions, L, T) for rows, positions in chunks)
    for rows, positions in chunks:
        yield done / total, states
        patched = _run_patched(model, base, source, rows, positions)
        into = slice(rows.start - first, rows.stop - first)
        states[into, positions.start : positions.stop] = patched
        done += _work(rows, positions, L, T)
    yield 1.0, states


def _chunks(
    rows: range, positions: range, T: int, states: torch.Tensor
) -> Iterator[tuple[range, range]]:
    """Cut the grid into parts whose packed rows fit into `WORKING_MEMORY`, the last row first
    (its runs are the shortest): many rows at once if they fit, else a part of one."""
    most = WORKING_MEMORY // (_WIDEST * states.shape[-1] * states.element_size())
    packed = sum(T - p for p in positions)  # packed rows of one row of the grid
    at_once = max(1, most // max(1, packed))
    for stop in range(rows.stop, rows.start, -at_once):
        some_rows = range(max(rows.start, stop - at_once), stop)
        start, packed = positions.start, 0
        for p in positions:
            packed += (T - p) * len(some_rows)
            if packed > most and p > start:
                yield some_rows, range(start, p)
                start, packed = p, (T - p) * len(some_rows)
        if start < positions.stop:
            yield some_rows, range(start, positions.stop)


def _work(rows: range, positions: range, L: int, T: int) -> int:
    """How often a packed row goes through a block."""
    return sum(L - r for r in rows) * sum(T - p for p in positions)


@torch.inference_mode()
def _run_patched(model: GPT, base: Run, source: Run, rows: range, positions: range) -> torch.Tensor:
    """States (rows, positions, C) of the runs patched before each block of `rows` at each of
    `positions`. A run joins the others, grouped by position, at the block it is patched before."""
    last = model.config.n_layer - 1
    groups = [base.resid[0, p:][None][:0] for p in positions]  # (n, S, C) each, n = 0 at first
    for r in range(rows.start, last + 1):
        if r in rows:
            joining = [_patched(base, source, r, p) for p in positions]
            groups = [torch.cat(pair) for pair in zip(groups, joining, strict=True)]
        block = model.transformer.h[r]
        groups = _step(block, groups, base.keys[r], base.values[r], last_only=r == last)
    return model.transformer.ln_f(torch.cat(groups, dim=1))


def _patched(base: Run, source: Run, r: int, p: int) -> torch.Tensor:
    """The stream before block r from position p on, with `source`'s at p: (1, S, C)."""
    return torch.cat((source.resid[r, p : p + 1], base.resid[r, p + 1 :]))[None]


def _step(
    block: Block,
    groups: list[torch.Tensor],
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    last_only: bool,
) -> list[torch.Tensor]:
    """One block over groups of runs, (n, S, C) each; `keys` and `values` (H, T, D) are the
    base's. With `last_only` what comes out is the last position alone, (n, 1, C)."""
    sizes = [group.shape[0] * group.shape[1] for group in groups]
    q_rows = [group[:, -1:] if last_only else group for group in groups]
    q_sizes = [group.shape[0] * group.shape[1] for group in q_rows]

    stream = _pack(q_rows)  # (q rows, C)
    C = stream.shape[-1]
    q_weight, kv_weight = block.attn.c_attn.weight.split((C, 2 * C))
    q_bias, kv_bias = block.attn.c_attn.bias.split((C, 2 * C))
    q = F.linear(block.ln_1(stream), q_weight, q_bias)
    kv = F.linear(block.ln_1(_pack(groups)), kv_weight, kv_bias)  # (rows, 2 C)
    z = [
        _attend(q_part.view(len(group), -1, C), kv_part.view(len(group), -1, 2 * C), keys, values)
        for group, q_part, kv_part in zip(groups, q.split(q_sizes), kv.split(sizes), strict=True)
    ]
    stream = _add_to_stream(block, stream, _pack(z))
    return [
        part.view(len(group), -1, C)
        for group, part in zip(groups, stream.split(q_sizes), strict=True)
    ]


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


def _add_to_stream(block: Block, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """What a block does with its heads' outputs z (..., C): resid_pre x -> resid_post."""
    x = x + block.attn.c_proj(z)
    return x + block.mlp(block.ln_2(x))


def _pack(groups: list[torch.Tensor]) -> torch.Tensor:
    """Groups (n, S, C) -> all their rows in one matrix (rows, C)."""
    return torch.cat([group.flatten(0, 1) for group in groups])
