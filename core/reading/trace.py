"""What became of one patch: layer by layer, by the parts of its layer, by the heads that read it.

A cell of the map tells that a stream carries the answer. These are the next questions: when does
the patched run part from its base, which half of the layer had put the answer into the stream, and
which later heads fetch it from there?

Shapes: L layers, H heads.
"""

from dataclasses import dataclass

import torch

from core.engine.runs import Run
from core.engine.sweep import Sweep
from core.reading.unembed import Unembedding
from core.steps import Steps
from mingpt.model import GPT

PARTS = ("resid_pre", "attn_out", "mlp_out")  # what a layer's output is the sum of


@dataclass(frozen=True)
class Trace:
    """Logit differences, logit(foil) - logit(target) at the last position, after one patch."""

    base: float  # of the run that was patched into
    patched: float  # of the patched run
    by_layer: dict[str, torch.Tensor]  # "base", "source", "patched" -> (L + 1,), see `by_layer`
    parts: dict[str, float]  # one of PARTS -> with this alone patched; none for the embedding
    readers: torch.Tensor  # (L, H) with one head's output alone as it is in the patched run


def trace(
    model: GPT, base: Run, source: Run | str, layer: int, position: int, target: int, foil: int
) -> Steps[Trace]:
    """Follow the patch of resid_post of a layer (-1: the embedding) at a position.

    A head of a later layer reads the patch where its output differs from the base's; put alone
    into the base, this difference says what came through that head (path patching, from the cell
    through one head, in the words of Wang et al. 2022).
    """
    difference = Unembedding(model.lm_head.weight).difference(target, foil)  # (C,)

    def value(run: Run) -> float:
        return (run.state.float() @ difference).item()

    def alone(site: str) -> Run:
        sweep = Sweep(model, base, source, site, embedding=layer < 0)
        return sweep.record(max(layer, 0), position)

    def by_layer(run: Run) -> torch.Tensor:
        """The logit lens of the last position: as if the model ended after each layer."""
        return model.transformer.ln_f(run.resid[:, -1]).float() @ difference

    yield 0.0
    patched = alone("resid_post")
    runs = {"base": base, "patched": patched}
    if isinstance(source, Run):
        runs["source"] = source
    parts = {site: value(alone(site)) for site in PARTS if layer >= 0}
    readers = Sweep(model, base, patched, site="head_z")
    yield from readers
    with torch.inference_mode():
        return Trace(
            base=value(base),
            patched=value(patched),
            by_layer={name: by_layer(run) for name, run in runs.items()},
            parts=parts,
            readers=readers.states.float() @ difference,
        )
