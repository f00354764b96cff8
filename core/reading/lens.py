"""The logit lens: what a plain run was going to say on the way.

Shapes: T tokens, L layers, V vocabulary.
"""

from dataclasses import dataclass

import torch

from core.engine.runs import Run
from core.reading.unembed import Unembedding
from core.steps import Steps
from mingpt.model import GPT


@dataclass(frozen=True)
class LogitLens:
    """What the model would predict if it stopped at a layer: the final LayerNorm and the
    unembedding applied to the stream there. Rows are the embedding, then each layer's output."""

    top_ids: torch.Tensor  # (L + 1, T) the likeliest next token at every position
    top_probs: torch.Tensor  # (L + 1, T)
    logits: torch.Tensor  # (L + 1, tokens asked about), at the last position
    ranks: torch.Tensor  # (L + 1, tokens asked about), counted from 1


def logit_lens(model: GPT, run: Run, ids: tuple[int, ...]) -> Steps[LogitLens]:
    """The logit lens of a run, layer by layer, and what it says of the tokens `ids` at the last
    position."""
    unembedding = Unembedding(model.lm_head.weight)
    rows = []
    for stream in run.resid:  # a layer at a time: T x V logits may be large
        yield len(rows) / len(run.resid)
        with torch.inference_mode():
            states = model.transformer.ln_f(stream)  # (T, C)
            last = unembedding.logits(states[-1])  # (V,)
            asked = last[list(ids)]
            ranks = (last > asked[:, None]).sum(dim=-1) + 1
        rows.append((*unembedding.likeliest(states), asked, ranks))
    return LogitLens(*map(torch.stack, zip(*rows, strict=True)))
