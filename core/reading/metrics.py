"""Final states -> numbers. A metric is a row of `METRICS`; nothing here runs the network.

A state is what the final LayerNorm gives at the last position, C numbers; its logits are its
products with the rows of the unembedding. LD is always logit(foil) - logit(target).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from core.errors import UserError

# Below this, dividing by LD_clean - LD_corrupted says more about rounding than about the model.
SMALLEST_DIFFERENCE = 0.01

# Logits of so many states at once: 64 x 50,257 floats are 13 MB.
_STATES_AT_ONCE = 64


class Reader:
    """Reads states through the unembedding, for one target, one foil and the two plain runs.

    `unembedding` is (V, C), `clean` and `corrupted` are the (C,) states of the plain runs.
    Methods take states (N, C) and give (N,).
    """

    def __init__(
        self,
        unembedding: torch.Tensor,
        clean: torch.Tensor,
        corrupted: torch.Tensor,
        target: int,
        foil: int,
    ):
        self.unembedding = unembedding
        self.clean = clean
        self.corrupted = corrupted
        self.target = target
        self.foil = foil

    def logit(self, states: torch.Tensor, id: int) -> torch.Tensor:
        return states.float() @ self.unembedding[id].float()

    def log_probs(self, states: torch.Tensor) -> torch.Tensor:
        """(N, C) -> (N, V), natural logarithms."""
        return (states @ self.unembedding.T).float().log_softmax(dim=-1)

    @cached_property
    def clean_log_probs(self) -> torch.Tensor:
        return self.log_probs(self.clean[None])[0]  # (V,)

    def logit_diff(self, states: torch.Tensor) -> torch.Tensor:
        return self.logit(states, self.foil) - self.logit(states, self.target)

    def recovery(self, states: torch.Tensor) -> torch.Tensor:
        clean, corrupted = self.logit_diff(torch.stack((self.clean, self.corrupted)))
        if abs(clean - corrupted) < SMALLEST_DIFFERENCE:
            raise UserError(
                "Recovery divides by the difference between the two runs, and here they hardly"
                f" differ: LD is {clean:.4f} on the clean and {corrupted:.4f} on the corrupted"
                " text. Choose another target and foil, or another metric.",
                "metric",
            )
        return (self.logit_diff(states) - corrupted) / (clean - corrupted)

    def target_logit_change(self, states: torch.Tensor) -> torch.Tensor:
        return self.logit(states, self.target) - self.logit(self.clean[None], self.target)

    def target_prob(self, states: torch.Tensor) -> torch.Tensor:
        return self.log_probs(states)[:, self.target].exp()

    def foil_prob(self, states: torch.Tensor) -> torch.Tensor:
        return self.log_probs(states)[:, self.foil].exp()

    def prob_diff(self, states: torch.Tensor) -> torch.Tensor:
        log_probs = self.log_probs(states)
        return log_probs[:, self.foil].exp() - log_probs[:, self.target].exp()

    def kl(self, states: torch.Tensor) -> torch.Tensor:
        """KL(clean ‖ patched) = sum over v of P_clean(v) (log P_clean(v) - log P_patched(v))."""
        clean = self.clean_log_probs
        return (clean.exp() * (clean - self.log_probs(states))).sum(dim=-1)

    def read(self, metric: str, states: torch.Tensor) -> np.ndarray:
        """`metric` of states (..., C), as float32 (...); NaN where a state is not known yet."""
        flat = states.reshape(-1, states.shape[-1])
        measure = METRICS[metric].measure
        with torch.inference_mode():
            parts = [measure(self, part) for part in flat.split(_STATES_AT_ONCE)]
        return torch.cat(parts).reshape(states.shape[:-1]).cpu().numpy()


@dataclass(frozen=True)
class Metric:
    """What a metric is called, how it is written (`{target}` and `{foil}` to be filled in), what
    its number says, and how it is measured."""

    title: str
    formula: str
    says: str
    measure: Callable[[Reader, torch.Tensor], torch.Tensor]


METRICS = {
    "logit_diff": Metric(
        "Logit difference",
        "logit({foil}) - logit({target})",
        "Negative where the target wins, positive where the foil wins.",
        Reader.logit_diff,
    ),
    "recovery": Metric(
        "Recovery",
        "(LD patched - LD corrupted) / (LD clean - LD corrupted)",
        "0 is the corrupted run, 1 the clean run.",
        Reader.recovery,
    ),
    "target_logit_change": Metric(
        "Target logit change",
        "logit({target}) patched - clean",
        "0 where the patched run believes in the target as much as the clean run.",
        Reader.target_logit_change,
    ),
    "target_prob": Metric(
        "Target probability",
        "P({target})",
        "How likely the target is to come next, from 0 to 1.",
        Reader.target_prob,
    ),
    "foil_prob": Metric(
        "Foil probability",
        "P({foil})",
        "How likely the foil is to come next, from 0 to 1.",
        Reader.foil_prob,
    ),
    "prob_diff": Metric(
        "Probability difference",
        "P({foil}) - P({target})",
        "From -1, the target for certain, to 1, the foil for certain.",
        Reader.prob_diff,
    ),
    "kl": Metric(
        "KL divergence",
        "KL(clean ‖ patched), nats",
        "0 where the whole prediction is that of the clean run.",
        Reader.kl,
    ),
}
