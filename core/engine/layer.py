"""The activations inside one layer of a run, and what follows from putting in others.

Shapes: T tokens, C channels, H heads of D = C / H channels.
"""

from functools import cached_property

import torch

from mingpt.model import Block, merge_heads

# Rows that go through an MLP together: enough for full speed, and bounded whatever the length.
ROWS_AT_ONCE = 1024


class Layer:
    """The activations inside one block on one run; those that were not recorded are computed
    when they are first asked for."""

    def __init__(
        self, block: Block, resid_pre: torch.Tensor, resid_post: torch.Tensor, qkv: torch.Tensor
    ):
        self.block = block
        self.resid_pre = resid_pre  # (T, C)
        self.resid_post = resid_post  # (T, C)
        self.q, self.k, self.v = qkv  # (H, T, D) each

    @cached_property
    def pattern(self) -> torch.Tensor:
        return self.attention()  # (H, T, T)

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

    def attention(
        self, q: torch.Tensor | None = None, k: torch.Tensor | None = None
    ) -> torch.Tensor:
        """softmax(scale q k^T) over the keys that each query may see, (H, T, T); with other
        queries or keys (H, T, D) in place of the run's own."""
        q, k = (self.q if q is None else q), (self.k if k is None else k)
        scores = q.float() @ k.float().mT * self.block.attn.scale
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        return scores.masked_fill(later, -torch.inf).softmax(dim=-1).to(q.dtype)

    def after_mlp(self, resid_mid: torch.Tensor) -> torch.Tensor:
        """The stream after the layer if it were `resid_mid` (N, T, C) before the MLP: (N, T, C)."""
        some = max(1, ROWS_AT_ONCE // resid_mid.shape[1])
        after, block = torch.empty_like(resid_mid), self.block
        for part, out in zip(resid_mid.split(some), after.split(some), strict=True):
            torch.add(part, block.mlp(block.ln_2(part)), out=out)
        return after

    def after_heads(self, z: torch.Tensor) -> torch.Tensor:
        """The stream after the layer if head h alone had put out z[h]: (H, T, D) -> (H, T, C)."""
        H, _, D = z.shape
        weight = self.block.attn.c_proj.weight  # (C, H D): columns h D to (h + 1) D are head h's
        changes = (z - self.z) @ weight.view(-1, H, D).permute(1, 2, 0)  # (H, T, C)
        return self.after_mlp(changes.add_(self.resid_mid))


class Ablated:
    """A layer whose every activation is "zero", or its "position_mean": that over the positions of
    the run."""

    def __init__(self, layer: Layer, how: str):
        if how not in ("zero", "position_mean"):
            raise ValueError(f"there is no ablation {how!r} of a run by itself")
        self._layer, self._how = layer, how

    def __getattr__(self, name: str) -> torch.Tensor:
        activation = getattr(self._layer, name)
        if self._how == "zero":
            return torch.zeros_like(activation)
        mean = activation.mean(dim=-2, keepdim=True).expand_as(activation)
        if name == "pattern":  # no query may see a later key, and a query's weights sum to 1
            seen = mean.tril()
            return seen / seen.sum(dim=-1, keepdim=True)
        return mean
