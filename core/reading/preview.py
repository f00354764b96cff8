"""A quick preview of a head map: attribution patching, gradient times activation difference.

One backward pass through the base run says how the logit difference would answer to a small change
of each head's output z; multiplied by the difference between the runs this estimates what patching
would do, as if the model were linear. It is exact for nothing, good for heads late in the model,
and known to mislead for the residual stream and the MLPs, for which it is not offered.

Source: Nanda 2023, "Attribution patching".
"""

import torch
from torch.nn import functional as F

from core.engine.patching import Run
from mingpt.model import GPT, merge_heads


def head_preview(model: GPT, base: Run, source: Run, target: int, foil: int) -> torch.Tensor:
    """The estimated change of logit(foil) - logit(target) for patching each head's z at all
    positions, (L, H)."""
    device = base.state.device
    with torch.enable_grad():
        x = model.embed(torch.tensor([base.ids], device=device)).requires_grad_()
        outputs = []  # every block's z, (1, H, T, D)
        for block in model.transformer.h:
            z = F.scaled_dot_product_attention(*block.attn.qkv(block.ln_1(x)), is_causal=True)
            outputs.append(z)
            x = x + block.attn.c_proj(merge_heads(z))
            x = x + block.mlp(block.ln_2(x))
        difference = model.lm_head.weight[foil] - model.lm_head.weight[target]
        gradients = torch.autograd.grad(model.transformer.ln_f(x[0, -1]) @ difference, outputs)
    rows = []
    for layer, (z, gradient) in enumerate(zip(outputs, gradients, strict=True)):
        with torch.inference_mode():
            change = source.layer(model, layer).z - z.detach()[0]
            rows.append((change * gradient[0]).sum(dim=(1, 2)))
    return torch.stack(rows)
