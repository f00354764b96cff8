"""What final states say: read once, and kept with the states.

A state is what the final LayerNorm gives at the last position, C numbers; its logits are its
products with the rows of the unembedding.
"""

from functools import cached_property

import numpy as np
import torch

from core.question.metrics import METRICS
from core.reading.unembed import Unembedding

Tokens = int | tuple[int, ...]  # the id of one, or of several of which any will do


class States:
    """Final states (..., C), which may still be filling up, and of each what takes the whole
    vocabulary, and no target, foil or metric changes: log Z, computed for states that are new, when
    it is first asked for, and kept; and of those of clean runs the `expected_rows`."""

    def __init__(self, states: torch.Tensor, unembedding: Unembedding):
        self.states = states
        self.unembedding = unembedding
        self._log_z = torch.full(states.shape[:-1], torch.nan, device=states.device)

    @property
    def known(self) -> torch.Tensor:
        """Which states are there already, (...): the others are NaN."""
        return self.states[..., -1].isfinite()

    @property
    def log_z(self) -> torch.Tensor:
        new = self.known & self._log_z.isnan()
        if new.any():
            self._log_z[new] = self.unembedding.log_z(self.states[new])
        return self._log_z

    @cached_property
    def expected_rows(self) -> torch.Tensor:
        """(..., C), of states that are all there: see `Unembedding.expected_rows`."""
        states = self.states.reshape(-1, self.states.shape[-1])
        return self.unembedding.expected_rows(states, self.log_z.flatten()).view(self.states.shape)

    def at(self, index: int | torch.Tensor) -> "States":
        """Some of these, in any order: what takes the whole vocabulary is read once, here, for all
        of them."""
        return _Some(self, index)


class _Some(States):
    def __init__(self, every: States, index: int | torch.Tensor):
        super().__init__(every.states[index], every.unembedding)
        self._every, self._index = every, index

    @property
    def log_z(self) -> torch.Tensor:
        return self._every.log_z[self._index]

    @property
    def expected_rows(self) -> torch.Tensor:
        return self._every.expected_rows[self._index]


class Says:
    """What a metric of `core.question.metrics` may ask of states, each answer of their shape (...).
    `clean` is the state of the clean run.

    Target and foil are one token each, or several: the logit of "one of these" is
    log(sum of exp(logit)) over them, since their probabilities add up.
    """

    def __init__(self, states: States, target: Tokens, foil: Tokens, clean: States):
        self._states, self._clean = states, clean
        self._vectors, read = states.states.float(), states.unembedding
        target, foil = ((of,) if isinstance(of, int) else of for of in (target, foil))
        logits = self._vectors @ read.rows(*target, *foil).T
        self.target = logits[..., : len(target)].logsumexp(dim=-1)
        self.foil = logits[..., len(target) :].logsumexp(dim=-1)
        if len(target) == len(foil) == 1:  # more exact than the difference of two large numbers
            self.logit_diff = self._vectors @ read.difference(*target, *foil)
        else:
            self.logit_diff = self.foil - self.target

    @property
    def log_z(self) -> torch.Tensor:
        return self._states.log_z

    @property
    def target_prob(self) -> torch.Tensor:
        return (self.target - self.log_z).exp()

    @property
    def foil_prob(self) -> torch.Tensor:
        return (self.foil - self.log_z).exp()

    @property
    def mean_logit(self) -> torch.Tensor:
        """The mean of all logits, each weighted by its token's probability after the clean text."""
        return self._vectors @ self._clean.expected_rows


@torch.inference_mode()
def measure(
    metric: str, states: States, clean: States, corrupted: States, target: Tokens, foil: Tokens
) -> np.ndarray:
    """A metric of states (..., C), as float32 (...); NaN where a state is not known yet. Raises
    UserError for a recovery whose two runs hardly differ."""
    says = (Says(of, target, foil, clean) for of in (states, clean, corrupted))
    # Adding 0 takes the sign from a zero: a recovery of nothing is 0, not -0.
    return METRICS[metric].measure(*says).float().cpu().numpy() + 0.0
