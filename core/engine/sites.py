"""What can be patched: a table of sites, a new one being one row.

Names and meanings are TransformerLens's: `resid_pre`, `resid_mid` and `resid_post` are the
residual stream before, within and after a layer, `attn_out` and `mlp_out` what the two halves of
the layer add to it; a head's `q`, `k`, `v` and `pattern` make its `z`, which the output projection
turns into the head's part of `attn_out`.

Whatever is patched in a layer, what later layers see of it is a changed stream after that layer.
So a site is a function from a layer's activations on both runs to this stream.

Shapes: T tokens, C channels, H heads of D = C / H channels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from mingpt.model import Block, merge_heads

# Rows that go through an MLP together: enough for full speed, and bounded whatever the length.
_ROWS_AT_ONCE = 1024


class Layer:
    """The activations inside one block on one run, from the recorded streams before and after it;
    each is computed when it is first asked for."""

    def __init__(self, block: Block, resid_pre: torch.Tensor, resid_post: torch.Tensor):
        self.block = block
        self.resid_pre = resid_pre  # (T, C)
        self.resid_post = resid_post  # (T, C)

    @cached_property
    def _qkv(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        q, k, v = self.block.attn.qkv(self.block.ln_1(self.resid_pre[None]))
        return q[0], k[0], v[0]

    @cached_property
    def q(self) -> torch.Tensor:
        return self._qkv[0]  # (H, T, D)

    @cached_property
    def k(self) -> torch.Tensor:
        return self._qkv[1]  # (H, T, D)

    @cached_property
    def v(self) -> torch.Tensor:
        return self._qkv[2]  # (H, T, D)

    @cached_property
    def pattern(self) -> torch.Tensor:
        return attention_pattern(self.q, self.k)  # (H, T, T)

    @cached_property
    def z(self) -> torch.Tensor:
        return self.pattern @ self.v  # (H, T, D)

    @cached_property
    def attn_out(self) -> torch.Tensor:
        return self.block.attn.c_proj(merge_heads(self.z[None])[0])  # (T, C)

    @cached_property
    def resid_mid(self) -> torch.Tensor:
        return self.resid_pre + self.attn_out  # (T, C)

    @cached_property
    def mlp_out(self) -> torch.Tensor:
        return self.resid_post - self.resid_mid  # (T, C)


class Ablated:
    """A layer whose every activation is zero, or its mean over the positions of the run."""

    def __init__(self, layer: Layer, how: str):
        self._layer, self._how = layer, how

    def __getattr__(self, name: str) -> torch.Tensor:
        activation = getattr(self._layer, name)
        if self._how == "zero":
            return torch.zeros_like(activation)
        return activation.mean(dim=-2, keepdim=True).expand_as(activation)


def attention_pattern(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(D)) over what each position may see: (H, T, D) twice -> (H, T, T)."""
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(dim=-1)


def mlp_of(block: Block, resid_mid: torch.Tensor) -> torch.Tensor:
    return block.mlp(block.ln_2(resid_mid))


def _attn_out(base: Layer, source: Layer) -> torch.Tensor:
    resid_mid = base.resid_pre + source.attn_out
    return (resid_mid + mlp_of(base.block, resid_mid))[None]


def _heads(base: Layer, z: torch.Tensor) -> torch.Tensor:
    """The stream after the layer if head h alone had put out z[h]: (H, T, D) -> (H, T, C)."""
    H, T, D = z.shape
    weight = base.block.attn.c_proj.weight  # (C, H D): columns h D to (h + 1) D are head h's
    changes = (z - base.z) @ weight.view(-1, H, D).permute(1, 2, 0)  # (H, T, C)
    resid_mid = base.resid_mid + changes
    some = max(1, _ROWS_AT_ONCE // T)
    return torch.cat([part + mlp_of(base.block, part) for part in resid_mid.split(some)])


@dataclass(frozen=True)
class Site:
    """Something that can be patched.

    `axes` are what a sweep runs over; without "position", a patch covers all positions. `stream`
    gives the stream after the patched layer, of the base with the source's activation put in:
    (1, T, C), or (H, T, C) for one of each head.
    """

    title: str
    axes: tuple[str, ...]
    stream: Callable[[Layer, Layer], torch.Tensor]
    before_layer: bool = False  # `stream` is the one before the layer instead


_POSITIONS = ("layer", "position")
_HEADS = ("layer", "head")

SITES = {
    "resid_post": Site("Residual stream", _POSITIONS, lambda base, source: source.resid_post[None]),
    "resid_mid": Site(
        # Position by position the MLP sees nothing else, so this is the same patch.
        "Stream, mid-layer",
        _POSITIONS,
        lambda base, source: (source.resid_mid + mlp_of(base.block, source.resid_mid))[None],
    ),
    "resid_pre": Site(
        "Stream, before",
        _POSITIONS,
        lambda base, source: source.resid_pre[None],
        before_layer=True,
    ),
    "attn_out": Site("Attention output", _POSITIONS, _attn_out),
    "mlp_out": Site(
        "MLP output", _POSITIONS, lambda base, source: (base.resid_mid + source.mlp_out)[None]
    ),
    "head_z": Site("Head output z", _HEADS, lambda base, source: _heads(base, source.z)),
    "head_q": Site(
        "Head query",
        _HEADS,
        lambda base, source: _heads(base, attention_pattern(source.q, base.k) @ base.v),
    ),
    "head_k": Site(
        "Head key",
        _HEADS,
        lambda base, source: _heads(base, attention_pattern(base.q, source.k) @ base.v),
    ),
    "head_v": Site(
        "Head value",
        _HEADS,
        lambda base, source: _heads(base, base.pattern @ source.v),
    ),
    "head_pattern": Site(
        "Head pattern",
        _HEADS,
        lambda base, source: _heads(base, source.pattern @ base.v),
    ),
    "head_z_position": Site(
        "Head z by position",
        ("layer", "head", "position"),
        lambda base, source: _heads(base, source.z),
    ),
}
