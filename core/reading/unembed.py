"""The last step, from a final state to the vocabulary: in float32 whatever the weights are in.

A half-precision product is rounded to two or three digits before anybody can compare it: with
logits near -70, as GPT-2's are, half of a table's tokens would stand in the wrong place. The
vocabulary is gone through in slices, so that neither the weights in float32 nor the logits of many
states have to lie in memory at once.

Shapes: N states of C channels, V tokens in the vocabulary.
"""

from collections.abc import Iterator

import torch

_TOKENS_AT_ONCE = 8192
_STATES_AT_ONCE = 512


class Unembedding:
    """Reads states through the unembedding of a model, `weight` (V, C)."""

    def __init__(self, weight: torch.Tensor):
        self.weight = weight

    def rows(self, *ids: int) -> torch.Tensor:
        """The vectors of some tokens, (len(ids), C); a state's product with one is its logit."""
        return self.weight[list(ids)].float()

    def difference(self, target: int, foil: int) -> torch.Tensor:
        """The direction (C,) along which a state's logit(foil) - logit(target) grows."""
        target, foil = self.rows(target, foil)
        return foil - target

    @torch.inference_mode()
    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """(..., C) -> (..., V)."""
        return torch.cat([part for _, part in self._slices(states)], dim=-1)

    @torch.inference_mode()
    def log_z(self, states: torch.Tensor) -> torch.Tensor:
        """The logarithm of the softmax's denominator, log of the sum of exp(logit): (N, C) -> (N,).
        A logit less this is the logarithm of the token's probability."""
        return torch.cat([self._log_z(part) for part in states.split(_STATES_AT_ONCE)])

    def _log_z(self, states: torch.Tensor) -> torch.Tensor:
        parts = [logits.logsumexp(dim=-1) for _, logits in self._slices(states)]
        return torch.stack(parts).logsumexp(dim=0)

    @torch.inference_mode()
    def likeliest(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The likeliest token after each state and its probability: (N, C) -> (N,) twice."""
        ids, best, sums = [], [], []
        for start, logits in self._slices(states):
            top = logits.max(dim=-1)
            ids.append(top.indices + start)
            best.append(top.values)
            sums.append(logits.logsumexp(dim=-1))
        ids, best = torch.stack(ids), torch.stack(best)  # (slices, N)
        first = best.argmax(dim=0, keepdim=True)
        log_z = torch.stack(sums).logsumexp(dim=0)
        return ids.gather(0, first)[0], (best.gather(0, first)[0] - log_z).exp()

    @torch.inference_mode()
    def ranks(self, state: torch.Tensor) -> torch.Tensor:
        """Every token's rank after a state (C,), counted from 1; of equals the lower id comes
        first: (V,)."""
        order = self.logits(state).argsort(descending=True, stable=True)
        ranks = torch.empty_like(order)
        ranks[order] = torch.arange(1, len(order) + 1, device=order.device)
        return ranks

    @torch.inference_mode()
    def expected_rows(self, states: torch.Tensor, log_z: torch.Tensor) -> torch.Tensor:
        """The mean of all tokens' vectors, weighted by how likely each is after a state: (N, C),
        and their log Z (N,), -> (N, C). Another state's product with one is the mean of that
        state's logits, so weighted."""
        return sum(
            (logits - log_z[:, None]).exp() @ rows
            for (_, logits), rows in zip(self._slices(states), self._rows(), strict=True)
        )

    def _rows(self) -> Iterator[torch.Tensor]:
        return (rows.float() for rows in self.weight.split(_TOKENS_AT_ONCE))

    def _slices(self, states: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """The logits of some tokens at a time, (..., some), and the id of the first of them."""
        states = states.float()
        for i, rows in enumerate(self._rows()):
            yield i * _TOKENS_AT_ONCE, states @ rows.T
