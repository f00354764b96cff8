"""The logit lens: what a plain run was going to say on the way.

Shapes: T tokens, L layers, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from core.engine.runs import Run
from core.reading.unembed import Unembedding
from mingpt.model import GPT


@dataclass(frozen=True)
class LogitLens:
    """What the model would predict if it stopped at a layer: the final LayerNorm and the
    unembedding applied to the stream there. Rows are the embedding, then each layer's output."""

    top_ids: torch.Tensor  # (L + 1, T) the likeliest next token at every position
    top_probs: torch.Tensor  # (L + 1, T)
    logits: torch.Tensor  # (L + 1, tokens asked about), at the last position
    ranks: torch.Tensor  # (L + 1, tokens asked about), counted from 1


class ReadingLens:
    """The logit lens of a run in steps: iterating yields the fraction of the layers that are read,
    and then there is a `lens`, with what it says of the tokens `ids` at the last position."""

    def __init__(self, model: GPT, run: Run, ids: tuple[int, ...]):
        self._model, self._run, self._ids = model, run, list(ids)
        self.lens: LogitLens | None = None

    def __iter__(self) -> Iterator[float]:
        unembedding = Unembedding(self._model.lm_head.weight)
        rows = []
        for stream in self._run.resid:  # a layer at a time: T x V logits may be large
            yield len(rows) / len(self._run.resid)
            with torch.inference_mode():
                states = self._model.transformer.ln_f(stream)  # (T, C)
                last = unembedding.logits(states[-1])[None]  # (1, V)
                asked = last[0, self._ids]
                ranks = (last > asked[:, None]).sum(dim=-1) + 1
            rows.append((*unembedding.likeliest(states), asked, ranks))
        self.lens = LogitLens(*map(torch.stack, zip(*rows, strict=True)))
        self._run = None  # which may be large, and is not needed any more
        yield 1.0
