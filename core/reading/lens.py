"""Reading a plain run from inside: the logit lens, direct logit attribution, attention patterns.

These look at what a run holds without changing it; whether it matters is what patching tells.

Shapes: T tokens, L layers, C channels, H heads of D = C / H channels, V vocabulary.
"""

from dataclasses import dataclass

import torch

from core.engine.patching import Run
from mingpt.model import GPT


@dataclass(frozen=True)
class LogitLens:
    """What the model would predict if it stopped at a layer: the final LayerNorm and the
    unembedding applied to the stream there. Rows are the embedding, then each layer's output."""

    top_ids: torch.Tensor  # (L + 1, T) the likeliest next token at every position
    top_probs: torch.Tensor  # (L + 1, T)
    logits: torch.Tensor  # (L + 1, tokens asked about), at the last position
    ranks: torch.Tensor  # (L + 1, tokens asked about), counted from 1


@dataclass(frozen=True)
class Attribution:
    """The logit difference of a plain run, taken apart into what each part wrote to the stream.

    The final LayerNorm divides by the stream's standard deviation; it is held at its value in the
    run, which makes the rest linear: the parts sum to the logit difference.
    """

    embedding: float
    heads: torch.Tensor  # (L, H)
    attention_bias: torch.Tensor  # (L,) of the output projection, which belongs to no head
    mlp: torch.Tensor  # (L,)
    final_bias: float  # of the final LayerNorm
    total: float  # the run's logit difference


@torch.inference_mode()
def logit_lens(model: GPT, run: Run, ids: list[int]) -> LogitLens:
    """The logit lens of a run, and what it says of the tokens `ids` at the last position."""
    top_ids, top_probs, logits, ranks = [], [], [], []
    for stream in run.resid:  # a layer at a time: T x V logits may be large
        every = model.lm_head(model.transformer.ln_f(stream)).float()  # (T, V)
        best = every.max(dim=-1)
        top_ids.append(best.indices)
        top_probs.append((best.values - every.logsumexp(dim=-1)).exp())
        last = every[-1]
        logits.append(last[ids])
        ranks.append((last > last[ids][:, None]).sum(dim=-1) + 1)
    return LogitLens(*map(torch.stack, (top_ids, top_probs, logits, ranks)))


@torch.inference_mode()
def attribute(model: GPT, run: Run, target: int, foil: int) -> Attribution:
    """Direct logit attribution of logit(foil) - logit(target) at the last position.

    A part c of the final stream x adds ((c - mean(c)) / std(x) * weight) . (U_foil - U_target),
    weight being the final LayerNorm's and U the rows of the unembedding; the LayerNorm's bias
    adds a constant.
    """
    ln_f, unembedding = model.transformer.ln_f, model.lm_head.weight
    difference = unembedding[foil].float() - unembedding[target].float()  # (C,)
    x = run.resid[-1, -1].float()
    std = (x.var(unbiased=False) + ln_f.eps).sqrt()
    direction = difference * ln_f.weight.float() / std
    direction = direction - direction.mean()  # instead of centring every part

    heads, biases, mlps = [], [], []
    for index, block in enumerate(model.transformer.h):
        layer = run.layer(model, index)
        z = layer.z[:, -1].float()  # (H, D)
        H, D = z.shape
        weight = block.attn.c_proj.weight.float().reshape(-1, H, D)  # (C, H, D)
        heads.append(torch.einsum("hd,chd,c->h", z, weight, direction))
        biases.append(block.attn.c_proj.bias.float() @ direction)
        mlps.append(layer.mlp_out[-1].float() @ direction)
    return Attribution(
        embedding=(run.resid[0, -1].float() @ direction).item(),
        heads=torch.stack(heads),
        attention_bias=torch.stack(biases),
        mlp=torch.stack(mlps),
        final_bias=(ln_f.bias.float() @ difference).item(),
        total=(run.state.float() @ difference).item(),
    )


@torch.inference_mode()
def attention(model: GPT, run: Run, layer: int, head: int) -> torch.Tensor:
    """The attention pattern of one head: (T, T), from each position (row) to those before it."""
    return run.layer(model, layer).pattern[head]
