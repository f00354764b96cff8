"""What became of one patch: layer by layer, by the parts of its layer, by the heads that read it.

A cell of the map tells that a stream carries the answer. These are the next questions: when does
the patched run part from its base, which half of the layer had put the answer into the stream, and
which later heads fetch it from there?

Shapes: L layers, H heads.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from core.engine.runs import Run
from core.engine.sweep import Sweep
from core.reading.unembed import Unembedding
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


class Tracing:
    """Following one cell's patch of resid_post in steps: iterating yields the fraction that is
    done, and then there is a `trace`. `layer` -1 is the embedding.

    A head of a later layer reads the patch where its output differs from the base's; put alone
    into the base, this difference says what came through that head (path patching, from the cell
    through one head, in the words of Wang et al. 2022).
    """

    def __init__(
        self,
        model: GPT,
        base: Run,
        source: Run | str,
        layer: int,
        position: int,
        target: int,
        foil: int,
    ):
        self._model, self._base, self._source = model, base, source
        self._cell, self._contenders = (layer, position), (target, foil)
        self.trace: Trace | None = None

    def __iter__(self) -> Iterator[float]:
        model, base, (layer, position) = self._model, self._base, self._cell
        with torch.inference_mode():
            difference = Unembedding(model.lm_head.weight).difference(*self._contenders)  # (C,)

            def value(run: Run) -> float:
                return (run.state.float() @ difference).item()

            def alone(site: str) -> Run:
                embedding = layer < 0
                sweep = Sweep(model, base, self._source, site, embedding=embedding)
                return sweep.record(layer + embedding, position)

            def by_layer(run: Run) -> torch.Tensor:
                """The logit lens of the last position: as if the model ended after each layer."""
                return model.transformer.ln_f(run.resid[:, -1]).float() @ difference

            patched = alone("resid_post")
            parts = {site: value(alone(site)) for site in PARTS if layer >= 0}
            readers = Sweep(model, base, patched, site="head_z")
        yield from (fraction for fraction in readers if fraction < 1)
        with torch.inference_mode():
            runs = {"base": base, "patched": patched}
            if isinstance(self._source, Run):
                runs["source"] = self._source
            self.trace = Trace(
                base=value(base),
                patched=value(patched),
                by_layer={name: by_layer(run) for name, run in runs.items()},
                parts=parts,
                readers=readers.states.float() @ difference,
            )
        self._base = self._source = None  # which may be large, and are not needed any more
        yield 1.0
