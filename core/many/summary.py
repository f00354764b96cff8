"""From the values of many pairs to one map: means, how sure they are, and whether pairs agree.

Shapes: n pairs, a grid of cells (...), S samples of the bootstrap.

The effect of a cell on a pair is by how much the patch moved the metric from what it was on the run
that is patched into. Recovery is a ratio, and its map by default one of means,

    (mean LD patched - mean LD corrupted) / (mean LD clean - mean LD corrupted),

since the mean of ratios is ruled by the pairs whose two runs hardly differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.errors import UserError
from core.many.pairs import counted
from core.many.values import Values
from core.question.metrics import SMALLEST_DIFFERENCE

SAMPLES = 2000
LEVEL = 0.95  # of an interval
ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class Summary:
    """A metric over pairs, by cell. The interval is where LEVEL of the bootstrap's samples are."""

    mean: np.ndarray  # (...)
    low: np.ndarray
    high: np.ndarray
    agreement: np.ndarray  # the share of pairs whose effect has the sign of the mean's
    of_pairs: np.ndarray  # (n, ...) each pair's part, whose mean is `mean`
    effects: np.ndarray  # (n, ...) by how much the patch moved each pair, in the same unit
    clean: float  # mean over pairs, on the plain runs
    corrupted: float
    unpatched: float  # what a cell without effect shows

    @property
    def n(self) -> int:
        """How many pairs."""
        return len(self.of_pairs)

    @property
    def says_nothing(self) -> np.ndarray:
        """Which cells have "no effect" within their interval, or nearer to it than two ways of
        adding up the same numbers are to each other, (...)."""
        low, high = self.low - ROUNDING, self.high + ROUNDING
        return (low <= self.unpatched) & (self.unpatched <= high)

    @property
    def stands_out(self) -> np.ndarray:
        """Which cells have an effect more than two standard deviations from that of all cells: how
        Zhang & Nanda (2024) tell the components that matter, (...)."""
        return np.abs(self.mean - self.mean.mean()) > 2 * self.mean.std()

    @cached_property
    def five_numbers(self) -> np.ndarray:
        """Of each cell the least, lower quartile, median, upper quartile and greatest of the pairs'
        parts, (5, ...)."""
        return np.quantile(self.of_pairs, (0, 0.25, 0.5, 0.75, 1), axis=0)

    def peaks(self, column: int | None = None) -> np.ndarray:
        """Of each pair the row where a patch moved most, either way, in a column or in any; -1
        where none moved anything, (n,). A grid has two axes here."""
        moved = np.abs(self.effects)
        moved = moved.max(axis=2) if column is None else moved[..., column]
        return np.where(moved.max(axis=1) > ROUNDING, moved.argmax(axis=1), -1)


def samples(groups: Sequence[str], count: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """How often each of n pairs is drawn in each sample of a bootstrap, (S, n). Pairs of a group
    are drawn together; a pair whose group is "" is one of its own."""
    keys = [group or f"\0{i}" for i, group in enumerate(groups)]  # no group is called so
    names = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    of = np.array([names[key] for key in keys])  # (n,)
    G = len(names)
    draw = np.random.default_rng(seed).multinomial
    rows = (draw(G, np.full(G, 1 / G)).astype(np.uint16)[of] for _ in range(count))
    return np.stack([*rows])


def summarize(
    values: Sequence[Values], metric: str, base: str, weights: np.ndarray, of_ratios: bool = False
) -> Summary:
    """The map of a metric over pairs, patched into the run `base`, "clean" or "corrupted", with
    the bootstrap samples `weights` (S, n). Recovery is read off their logit differences: a ratio of
    means or, if `of_ratios`, the mean of ratios. Raises UserError where those are none."""
    read = "logit_diff" if metric == "recovery" else metric
    ends = np.array([v.baselines[read] for v in values])  # (n, 2) clean, corrupted
    grids = np.stack([v.grids[read] for v in values]).astype(np.float64)  # (n, ...)
    n, shape = len(grids), grids.shape[1:]
    cells = grids.reshape(n, -1)
    whole, zero = np.ones(n), np.zeros(n)  # of each pair what counts as 1, and as 0
    if metric == "recovery":
        whole, zero = ends[:, 0] - ends[:, 1], ends[:, 1]
        _check(whole, of_ratios)
    if of_ratios:
        cells, ends = ((x - zero[:, None]) / whole[:, None] for x in (cells, ends))
        whole, zero = np.ones(n), np.zeros(n)
    unpatched = ends[:, 0 if base == "clean" else 1]  # (n,)
    mean, low, high = of_means(weights, cells - zero[:, None], whole)
    plain = _ratio(np.ones((1, n)), ends - zero[:, None], whole)
    moved = cells - unpatched[:, None]  # (n, cells)
    effects = moved / whole.mean()
    of_pairs = (cells - zero[:, None]) / whole.mean()
    agreement = (_signs(moved) == _signs(moved.mean(axis=0))).mean(axis=0)
    clean, corrupted = plain[0].tolist()
    return Summary(
        *(part.reshape(shape) for part in (mean, low, high, agreement)),
        of_pairs=of_pairs.reshape(n, *shape),
        effects=effects.reshape(n, *shape),
        clean=clean,
        corrupted=corrupted,
        unpatched=clean if base == "clean" else corrupted,
    )


def of_means(
    weights: np.ndarray, numerators: np.ndarray, denominators: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of numerators (n, cells) over that of denominators (n,), and the two ends of its
    interval, with the bootstrap samples `weights` (S, n): (cells,) each."""
    mean = _ratio(np.ones((1, len(denominators))), numerators, denominators)[0]
    tail = (1 - LEVEL) / 2
    sampled = _ratio(weights, numerators, denominators)
    return mean, *np.nanquantile(sampled, (tail, 1 - tail), axis=0)


def _signs(effects: np.ndarray) -> np.ndarray:
    """-1, 0 or 1; what may be rounding, which is another in other company, has none."""
    return np.where(np.abs(effects) > ROUNDING, np.sign(effects), 0)


def _check(whole: np.ndarray, of_ratios: bool) -> None:
    """Raise UserError where recovery would divide by next to nothing."""
    if of_ratios and (few := (np.abs(whole) < SMALLEST_DIFFERENCE).sum()):
        raise UserError(
            f"The two runs of {few} of {counted(len(whole), 'pair')} hardly differ, and a mean of"
            " ratios divides by each difference: take the ratio of means, or leave those pairs"
            " out.",
            "metric",
        )
    if abs(whole.mean()) < SMALLEST_DIFFERENCE:
        raise UserError(
            "Recovery divides by the mean difference between the two runs, and over"
            f" {counted(len(whole), 'pair')} that is {whole.mean():.4f}: take another metric, or"
            " the pairs that flip alone.",
            "metric",
        )


def _ratio(weights: np.ndarray, numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Of each sample the sum of numerators over that of denominators: (S, n), (n, cells), (n,) ->
    (S, cells); NaN where the two runs hardly differ over a whole sample."""
    found = []
    for part in np.array_split(weights, max(1, weights.size >> 23)):  # else it is gigabytes
        part = part / part.sum(axis=1, keepdims=True)
        below = part @ denominators
        below = np.where(np.abs(below) < SMALLEST_DIFFERENCE, np.nan, below)
        found.append(part @ numerators / below[:, None])
    return np.concatenate(found)
