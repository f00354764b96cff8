"""The plain way to patch, to hold the sweep against: one forward pass for every cell."""

import copy
import inspect
import random
import textwrap

import numpy as np
import torch

from core.steps import Steps
from mingpt.model import GPT, PatchParams


class PlainLoop:
    """Patching block outputs of the source text into the base text, both token ids, by
    `GPT.forward` alone. The model, which may be shared, stays as it is."""

    def __init__(self, gpt: GPT, base: tuple[int, ...], source: tuple[int, ...]):
        self._gpt = copy.copy(gpt)  # storing and patching set attributes
        device = gpt.lm_head.weight.device
        self._base, source = (torch.tensor([ids], device=device) for ids in (base, source))
        with torch.inference_mode():
            self._gpt(source, store_activations=True)
        self._source = self._gpt.layer_activations
        self.cells = [(layer, p) for layer in self._source for p in range(len(base))]
        random.Random(0).shuffle(self.cells)  # so that the first few are of all kinds

    @torch.inference_mode()
    def logits(self, layer: int, position: int) -> torch.Tensor:
        """What comes next after one patch: (V,)."""
        patch = PatchParams(layer, position, self._source[layer][0, position])
        self._gpt(self._base, patch_params=patch)
        return self._gpt.last_token_logits[0]


def logit_differences(
    gpt: GPT, base: tuple[int, ...], source: tuple[int, ...], target: int, foil: int
) -> Steps[np.ndarray]:
    """The whole map of logit(foil) - logit(target), (L, T), a cell in a step."""
    loop = PlainLoop(gpt, base, source)
    values = np.zeros((gpt.config.n_layer, len(base)), dtype=np.float32)
    for done, cell in enumerate(loop.cells):
        yield done / len(loop.cells)
        logits = loop.logits(*cell).float()
        values[cell] = (logits[foil] - logits[target]).item()
    return values


def source() -> str:
    """The lines of `GPT.forward` that store and patch, as they stand in `mingpt/model.py`: all that
    comes before the loss."""
    body = inspect.getsource(GPT.forward).split('"""')[2]
    return textwrap.dedent(body.split("\n\n")[0]).strip()
