"""What a set of components is graded over many pairs: is it sufficient, is it necessary, how sure.

Plain data: it needs neither torch nor a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from core.errors import UserError
from core.many.pairs import Dropped, Pair
from core.many.summary import of_means, samples
from core.question.metrics import SMALLEST_DIFFERENCE
from core.result import ASKED_OF_SETS, Answered, Baseline


class Interval(NamedTuple):
    """A mean over pairs, and where `core.many.summary.LEVEL` of the bootstrap's samples are."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class ManyGrades(Answered):
    """A set's grades over many pairs; of the `experiment` the texts, target and foil are blank.
    An ablation has no "sufficient"; there is no share where the two runs hardly differ on the mean.
    A recovery and a share are ratios of means."""

    components: tuple[str, ...]
    pairs: tuple[Pair, ...]  # those that are used, in the order of their file
    of_pairs: np.ndarray  # (n, 5) the metric, of a recovery LD: clean, corrupted, ASKED_OF_SETS
    given: int
    dropped: tuple[Dropped, ...]
    values: dict[str, Interval | None]  # of ASKED_OF_SETS -> the metric
    shares: dict[str, Interval | None]
    seed: int = 0  # of the bootstrap
    draws: str = "groups"  # what it draws, a key of `core.many.answer.DRAWS`

    @classmethod
    def of(cls, of_pairs: np.ndarray, pairs: Sequence[Pair], **about) -> Self:
        """Sum up pairs; `about` are the fields but for those that are computed. Raises UserError
        for a recovery whose runs hardly differ on the mean."""
        groups = [of.group if about.get("draws", "groups") == "groups" else "" for of in pairs]
        weights = samples(groups, seed=about.get("seed", 0))
        clean, corrupted, *asked = of_pairs.T
        one, whole = np.ones(len(pairs)), clean - corrupted
        metric = about["experiment"].metric
        baselines = {metric: Baseline(clean.mean().item(), corrupted.mean().item())}
        hardly_differ = abs(whole.mean()) < SMALLEST_DIFFERENCE
        if metric == "recovery":
            if hardly_differ:
                raise UserError(
                    "Recovery divides by the mean difference between the two runs, and over these"
                    f" {len(pairs)} pairs that is {whole.mean():.4f}: take another metric.",
                    "metric",
                )
            baselines = {"recovery": Baseline(1.0, 0.0), "logit_diff": baselines[metric]}

        def interval(numerators: np.ndarray, denominators: np.ndarray) -> Interval | None:
            if np.isnan(numerators).any():
                return None
            of = of_means(weights, numerators[:, None], denominators)
            return Interval(*(part.item() for part in of))

        values, shares = {}, {}
        for name, value in zip(ASKED_OF_SETS, asked, strict=True):
            recovered = value - corrupted
            moved = recovered if name == "sufficient" else clean - value
            shares[name] = None if hardly_differ else interval(moved, whole)
            of = (recovered, whole) if metric == "recovery" else (value, one)
            values[name] = interval(*of)
        made = {"baselines": baselines, "values": values, "shares": shares}
        return cls(pairs=tuple(pairs), of_pairs=of_pairs, **made, **about)

    @property
    def n(self) -> int:
        return len(self.pairs)
