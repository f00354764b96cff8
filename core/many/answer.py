"""What came out of many pairs: one map, what it is of, and all that was left out."""

from dataclasses import asdict, dataclass

import numpy as np

from core.many.pairs import Dropped
from core.many.summary import LEVEL, SAMPLES, Summary
from core.question.experiment import Experiment
from core.question.metrics import METRICS
from core.result import ModelCard


@dataclass(frozen=True, eq=False)
class Answer:
    """One question to many pairs, answered. Of `asked` the texts, target and foil are blank."""

    asked: Experiment
    model: ModelCard
    keep: str  # a key of `core.many.running.KEEPS`
    given: int  # pairs, of which `summary.n` were used
    dropped: tuple[Dropped, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]  # positions, roles or heads
    axes: tuple[str, str]
    summary: Summary
    of_ratios: bool = False
    seed: int = 0  # of the bootstrap

    @property
    def used(self) -> str:
        """How many pairs: what every title and file says."""
        return f"{self.summary.n:,} used of {self.given:,} given"

    def to_dict(self) -> dict:
        """As `python -m core many --json` writes it; a number that there is not is null."""
        asked = self.asked.to_dict()
        for blank in ("clean", "corrupted", "target", "foil"):
            del asked[blank]
        grids = ("mean", "low", "high", "agreement")
        return {
            "experiment": asked,
            "model": asdict(self.model),
            "keep": self.keep,
            "n_given": self.given,
            "n_used": self.summary.n,
            "dropped": [asdict(row) for row in self.dropped],
            "axes": list(self.axes),
            "rows": list(self.rows),
            "columns": list(self.columns),
            "metric": self.asked.metric,
            "recovery_is": "mean of ratios" if self.of_ratios else "ratio of means",
            **{name: _numbers(getattr(self.summary, name)) for name in grids},
            "clean_value": self.summary.clean,
            "corrupted_value": self.summary.corrupted,
            "bootstrap": {"samples": SAMPLES, "seed": self.seed, "level": LEVEL},
        }

    def report(self) -> str:
        """As a terminal shows it: of each cell the mean and, below it, the interval. A star marks
        one that holds what a cell without effect shows."""
        s = self.summary
        name = METRICS[self.asked.metric].title
        if self.asked.metric == "recovery":
            name += " (mean of ratios)" if self.of_ratios else " (ratio of means)"
        lines = [
            f"{name} over pairs, {self.used}: {self.asked.site}, {self.asked.direction},"
            f" {self.model.name} ({self.model.fingerprint})",
            f"clean runs {s.clean:z.4f}, corrupted runs {s.corrupted:z.4f}; in brackets"
            f" {LEVEL:.0%} intervals of a bootstrap over pairs; * where no effect is within",
            "",
        ]
        cells = [["layer", *self.columns]]
        for row, label in enumerate(self.rows):
            star = np.where(s.says_nothing[row], "*", "")
            means = (f"{m:z.3f}{n}" for m, n in zip(s.mean[row], star, strict=True))
            cells.append([label, *means])
            both = zip(s.low[row], s.high[row], strict=True)
            cells.append(["", *(f"[{low:z.3f}, {high:z.3f}]" for low, high in both)])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
        return "\n".join(lines)


def _numbers(grid: np.ndarray) -> list:
    return [[None if value != value else round(value, 6) for value in row] for row in grid.tolist()]
