"""What runs would write: their texts continued token by token.

A run is gone on with from the keys and values that its attention has kept, so that a patch stays
where it was: at positions of the prompt, in the layers it is of, while new tokens read it.
"""

from collections.abc import Sequence

import torch

from core.engine.runs import Run, not_finite
from core.question.sampling import Sampling
from core.reading.unembed import Unembedding
from core.steps import Steps
from mingpt.model import GPT, sample

Written = list[tuple[int, float]]  # a token's id, and how probable the model took it to be


def continuing(model: GPT, runs: Sequence[Run], how: Sampling) -> Steps[list[Written]]:
    """The new tokens of each of some runs of equally many tokens, all of which go through the
    network together. Each is drawn by a generator of its own from the same seed: two runs of the
    same predictions write the same. Raises UserError for numbers that are not finite."""
    unembedding = Unembedding(model.lm_head.weight)
    draws = [torch.Generator().manual_seed(how.seed) for _ in runs]
    written: list[Written] = [[] for _ in runs]
    past = torch.stack([run.qkv[:, 1:] for run in runs], dim=2)  # (L, 2, B, H, T, D)
    states = torch.stack([run.state for run in runs])  # (B, C)
    for number in range(how.tokens):
        yield number / how.tokens
        with torch.inference_mode():
            if number:
                new = torch.tensor([[ids[-1][0]] for ids in written], device=past.device)
                states, past = model.extend(new, past)
            logits = unembedding.logits(states).cpu()  # (B, V)
            if not logits.isfinite().all():
                raise not_finite(past.dtype, "a new token")
            for ids, of, draw in zip(written, logits, draws, strict=True):
                id = sample(of[None], how.temperature, how.top_k or None, draw).item()
                ids.append((id, of.softmax(dim=-1)[id].item()))
    return written
