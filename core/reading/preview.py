"""A quick preview of a head map: attribution patching, gradient times activation difference.

One backward pass through the base run says how the logit difference would answer to a small change
of each head's output z; multiplied by the difference between the runs this estimates what patching
would do, as if the model were linear. It is exact for nothing, good for heads late in the model,
and known to mislead for the residual stream and the MLPs, for which it is not offered.

Source: Nanda 2023, "Attribution patching".
"""

import torch

from core.engine.runs import Run, run_block
from core.reading.unembed import Unembedding
from mingpt.model import GPT


def head_preview(model: GPT, base: Run, source: Run, target: int, foil: int) -> torch.Tensor:
    """The estimated logit(foil) - logit(target) after patching each head's z at all positions,
    (L, H): the base's own, and the change."""
    with torch.inference_mode(False), torch.enable_grad():
        difference = Unembedding(model.lm_head.weight).difference(target, foil)
        x = base.resid[0].clone()[None].requires_grad_()  # (1, T, C)
        outputs = []  # every block's z, (1, H, T, D)
        for block in model.transformer.h:
            _, z, x = run_block(block, x)
            outputs.append(z)
        end = model.transformer.ln_f(x[0, -1]).float() @ difference
        gradients = torch.autograd.grad(end, outputs)
    rows = []
    for layer, (z, gradient) in enumerate(zip(outputs, gradients, strict=True)):
        with torch.inference_mode():
            change = source.layer(model, layer).z - z.detach()[0]
            rows.append((change * gradient[0]).float().sum(dim=(1, 2)))
    return end.detach() + torch.stack(rows)
