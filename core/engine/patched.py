"""One patched run, kept whole: for who goes on from it, and reads more than its last position.

It takes a full forward pass, and any activations replaced at once; for the last positions of many
runs there are `core.engine.sweep` and `core.engine.joint`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from core.engine.joint import ACTIVATIONS
from core.engine.layer import Ablated, Layer
from core.engine.runs import Run, check_ready, empty_runs, layer_of, not_finite, run_block
from core.question.components import Component
from mingpt.model import GPT


class Put(NamedTuple):
    """The source's activation, in place of the base's: `activation` is called as in
    `core.engine.layer.Layer`; None as its head or its position means all."""

    activation: str
    layer: int
    head: int | None = None
    position: int | None = None


def puts_of(components: Iterable[Component]) -> list[Put]:
    """What a set of components replaces."""
    return [
        Put("resid_pre", 0, None, of.position)
        if of.kind == "embedding"
        else Put(ACTIVATIONS[of.kind], of.layer, of.head, of.position)
        for of in components
    ]


def patched(model: GPT, base: Run, source: Run | str, puts: Sequence[Put]) -> Run:
    """`base` with the activations that `puts` names being those of `source`, a run of as many
    tokens, or "zero" or "position_mean" to ablate. What comes after one follows from it, and may
    be replaced again. Raises UserError for a model in training mode, and for numbers that are not
    finite."""
    check_ready(model)
    if not puts:
        return base
    with torch.inference_mode():
        x = base.resid[:1].clone()  # (1, T, C)
        resid, qkv = empty_runs(model, x, len(model.transformer.h))
        for layer, block in enumerate(model.transformer.h):
            here = [put for put in puts if put.layer == layer]
            edit = _Edit(here, layer_of(model, base, source, layer))
            edit("resid_pre", x)
            resid[:, layer] = x
            parts, _, x = run_block(block, x, edit)
            qkv[:, layer] = torch.stack(parts, dim=1)
        resid[:, -1] = x
        state = model.transformer.ln_f(x[0, -1])
        if not state.isfinite().all():
            raise not_finite(state.dtype, "a patch")
        ids = tuple(None if _is_patched(puts, p) else id for p, id in enumerate(base.ids))
        return Run(ids, resid[0], qkv[0], state)


def _is_patched(puts: Sequence[Put], position: int) -> bool:
    return any(put.position in (None, position) for put in puts)


class _Edit:
    """Puts a layer's activations in while its block runs."""

    def __init__(self, puts: list[Put], source: Layer | Ablated):
        self.puts, self.source = puts, source
        self.values: torch.Tensor | None = None

    def __call__(self, name: str, activation: torch.Tensor) -> None:
        """Activations (1, T, C), or of heads (1, H, T, D)."""
        if name == "v":
            self.values = activation
        for put in self.puts:
            at = slice(None) if put.position is None else put.position
            if put.activation == name:
                where = (at,) if put.head is None else (put.head, at)
                activation[0, *where] = getattr(self.source, name)[where]
            elif put.activation == "pattern" and name == "z":
                pattern = self.source.pattern[put.head, at]
                activation[0, put.head, at] = pattern @ self.values[0, put.head]
