"""What a model says to one pair: on its plain runs, and with each cell of the map patched.

Plain data; it knows neither models nor tensors.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.many.fitting import Fitted
from core.many.pairs import Dropped
from core.question.tokens import Token


class Screened(NamedTuple):
    """What a model says to the two plain runs of a pair. A rank counts from 1; of several targets
    or foils it is the best one's, and a probability that of any of them. LD is logit(foil) -
    logit(target)."""

    clean_difference: float  # LD
    corrupted_difference: float
    target_rank: int  # on the clean run
    foil_rank: int  # on the corrupted run
    target_prob: float  # on the clean run
    foil_prob: float  # on the corrupted run
    clean_top: Token  # the likeliest next token
    corrupted_top: Token

    @property
    def flips(self) -> bool:
        """The target wins on the clean run and the foil on the corrupted one."""
        return self.clean_difference < 0 < self.corrupted_difference

    @property
    def is_first(self) -> bool:
        """The target is what the model expects most after the clean text."""
        return self.target_rank == 1

    @property
    def foil_is_first(self) -> bool:
        """The foil is what the model expects most after the corrupted text."""
        return self.foil_rank == 1


@dataclass(frozen=True, eq=False)
class Values:
    """What a sweep says of one pair, under each of some metrics."""

    baselines: dict[str, tuple[float, float]]  # on the clean and on the corrupted run
    grids: dict[str, np.ndarray]  # float32, rows x columns of the shared map


class Swept(NamedTuple):
    """A pair, and all that a model says to it."""

    pair: Fitted
    screened: Screened
    values: Values


class FromOthers(NamedTuple):
    """Which pairs' clean runs an ablation takes from what it puts in."""

    pairs: int  # how many there are
    digest: str  # stands for them, in whatever order they are
    by_role: bool  # columns are roles, else positions
    seed: int | None = None  # of the draw of another pair for each; None where it is the mean


class LeftOut(NamedTuple):
    """A pair that could be used and is not, for what the model says to its plain runs."""

    row: Dropped
    pair: Fitted
    screened: Screened
