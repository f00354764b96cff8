"""Direct logit attribution: the logit difference as a sum of what every part wrote.

Shapes: L layers, C channels, H heads of D = C / H channels.
"""

from dataclasses import dataclass

import torch

from core.engine.runs import Run
from core.reading.unembed import Unembedding
from mingpt.model import GPT


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
def attribute(model: GPT, run: Run, target: int, foil: int) -> Attribution:
    """Direct logit attribution of logit(foil) - logit(target) at the last position.

    A part c of the final stream x adds ((c - mean(c)) / std(x) * weight) . (U_foil - U_target),
    weight being the final LayerNorm's and U the rows of the unembedding; the LayerNorm's bias
    adds a constant.
    """
    ln_f = model.transformer.ln_f
    difference = Unembedding(model.lm_head.weight).difference(target, foil)  # (C,)
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
