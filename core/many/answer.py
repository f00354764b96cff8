"""What came out of many pairs: one map, what it is of, each pair's part, and all that was left out.

Plain data: it needs neither torch nor a model.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np

from core.errors import UserError
from core.many.pairs import Dropped, Pair, counted
from core.many.summary import LEVEL, SAMPLES, Summary, samples, summarize
from core.many.values import FromOthers, LeftOut, Swept, Values
from core.question.metrics import SMALLEST_DIFFERENCE
from core.question.tokens import Token
from core.result import Baseline, Map

# Which of the usable pairs go into the map.
KEEPS = {
    "all": "all usable pairs",
    "flips": "pairs whose target wins on the clean run and whose foil wins on the corrupted one",
    "first": "pairs whose target is the model's first choice on the clean run",
}
# What the bootstrap draws. Groups are to be samples of something, such as templates: of a few, as
# the two orders of a design are, it would draw the same again and again.
DRAWS = {"groups": "whole groups", "pairs": "single pairs"}
FEW_GROUPS = 10
HALVES = ("discovery half", "confirmation half")


@dataclass(frozen=True, eq=False)
class Answer(Map):
    """One question to many pairs, answered. Of the `experiment` the texts, target and foil are
    blank; `axes` has "role" where the columns are roles."""

    columns: tuple[str, ...]  # labels of the positions, roles or heads
    tokens: tuple[tuple[Token, int], ...]  # the commonest clean one of a column, in so many texts
    keep: str  # a key of KEEPS
    given: int  # pairs, of which `summary.n` were used
    dropped: tuple[Dropped, ...]  # all the others, each with the reason
    left_out: tuple[LeftOut, ...]  # those of them that could be used
    pairs: tuple[Swept, ...]  # those that are used, in the order of their file
    summary: Summary  # of the experiment's metric, by `axes`
    of_ratios: bool = False  # of recovery
    seed: int = 0  # of the bootstrap
    draws: str = "groups"  # what it draws, a key of DRAWS
    source: FromOthers | None = None  # where other pairs give what is put in
    part: str = ""  # of a part of the pairs: which
    at_column: tuple[int, str] | None = None  # of a map that `at` made: the column, its label

    @classmethod
    def of(cls, pairs: Sequence[Swept], **about) -> Self:
        """Sum up pairs; `about` are the fields but for those that are computed. Raises UserError
        for a metric that was not read off, or that is none over these pairs."""
        experiment = about["experiment"]
        metric = experiment.metric
        read = "logit_diff" if metric == "recovery" else metric
        if not pairs or read not in pairs[0].values.grids:
            raise UserError(
                "No pair is done yet." if not pairs else f"The pairs were not swept for {metric}.",
                "metric",
            )
        by_group = about.get("draws", "groups") == "groups"
        groups = [of.pair.pair.group if by_group else "" for of in pairs]
        weights = samples(groups, seed=about.get("seed", 0))
        base = "corrupted" if experiment.direction == "denoise" else "clean"
        values = [of.values for of in pairs]
        if at := about.get("at_column"):
            grids = ({name: grid[..., at[0]] for name, grid in v.grids.items()} for v in values)
            values = [Values(v.baselines, g) for v, g in zip(values, grids, strict=True)]
        summary = summarize(values, metric, base, weights, about.get("of_ratios", False))
        baselines = {metric: Baseline(summary.clean, summary.corrupted)}
        ends = np.mean([of.values.baselines["logit_diff"] for of in pairs], axis=0).tolist()
        baselines.setdefault("logit_diff", Baseline(*ends))
        return cls(
            grids={metric: summary.mean},
            baselines=baselines,
            pairs=tuple(pairs),
            summary=summary,
            **about,
        )

    @property
    def used(self) -> str:
        """How many pairs: what every title, caption and file says."""
        said = f"{self.summary.n:,} used of {self.given:,} given"
        return f"{self.part}: {counted(self.summary.n, 'pair')}" if self.part else said

    @property
    def patched_with(self) -> str:
        if self.source is None:
            return super().patched_with
        where = "in the same role" if self.source.by_role else "at the same position"
        if self.source.by_role and "role" not in self.axes and not self.at_column:
            where += "; only at the last position and the tokens that roles stand for"
        n, seed = self.source.pairs, self.source.seed
        if seed is None:
            return f"the dataset mean (over the clean runs of {n:,} pairs, {where})"
        return f"another pair's activation (of {n:,}, drawn by seed {seed}, {where})"

    @property
    def has_groups(self) -> bool:
        return len({of.pair.pair.group for of in self.pairs}) > 1

    @property
    def drawn(self) -> str:
        """What the bootstrap drew, in words, and whether these were too few."""
        return drawn([of.pair.pair for of in self.pairs], self.draws)

    def own_shares(self, row: int, column: int) -> np.ndarray:
        """What the patch of a cell did to each pair as a share of the difference between the pair's
        own two runs, (n,): 0 where it is as unpatched, 1 where it is as the run that was put in,
        NaN where its two runs hardly differ. Of an ablation the plain effect."""
        metric = self.experiment.metric
        read = "logit_diff" if metric == "recovery" else metric
        at = (row, column) if self.at_column is None else (row, column, self.at_column[0])
        cells = np.array([of.values.grids[read][at] for of in self.pairs], dtype=float)
        ends = np.array([of.values.baselines[read] for of in self.pairs])  # (n, 2)
        base, other = ends.T if self.unpatched == "clean" else ends.T[::-1]
        if self.other is None:
            return cells - base
        whole = np.where(np.abs(other - base) < SMALLEST_DIFFERENCE, np.nan, other - base)
        return (cells - base) / whole

    def groups(self) -> dict[str, Self]:
        """The same by group, in the order in which they come; pairs without one are "no group".
        Within a group single pairs are drawn."""
        names = dict.fromkeys(of.pair.pair.group for of in self.pairs)
        return {
            name or "no group": self._part(
                f"group {name}" if name else "no group",
                [of for of in self.pairs if of.pair.pair.group == name],
                draws="pairs",
            )
            for name in names
        }

    def halves(self) -> tuple[Self, Self]:
        """Two halves by a hash of each pair's id: whichever pairs are beside it, a pair is always
        in the same. Raises UserError where one of them is empty."""
        found: tuple[list[Swept], list[Swept]] = ([], [])
        for of in self.pairs:
            found[hashlib.sha256(of.pair.pair.id.encode()).digest()[0] % 2].append(of)
        if not all(found):
            raise UserError(
                f"One half has all of {counted(len(self.pairs), 'pair')}: take more pairs."
            )
        return tuple(self._part(name, half) for name, half in zip(HALVES, found, strict=True))

    def correlation(self, other: Self) -> float:
        """Pearson's, of two maps cell by cell; NaN where one of them is the same everywhere."""
        both = np.stack([self.values.ravel(), other.values.ravel()])
        return float(np.corrcoef(both)[0, 1]) if both.std(axis=1).all() else float("nan")

    def _part(self, name: str, pairs: Sequence[Swept], **changes) -> Self:
        return type(self).of(pairs, **self._about() | {"part": name} | changes)

    def _about(self) -> dict:
        """The fields that are not computed."""
        made = {"pairs", "grids", "baselines", "summary"}
        names = [field.name for field in fields(self) if field.name not in made]
        return {name: getattr(self, name) for name in names}

    def at(self, column: int) -> Self:
        """Of an answer by layer, head and position or role, the map of one column: layer by
        head."""
        heads = tuple(map(str, range(self.values.shape[1])))
        at = {"axes": self.axes[:2], "columns": heads, "tokens": ()}
        at["at_column"] = (column, self.columns[column])
        return type(self).of(self.pairs, **self._about() | at)

    def to_dict(self) -> dict:
        """As `python -m core many --json` writes it; a number that there is not is null."""
        grids = ("mean", "low", "high", "agreement")
        return {
            "experiment": self.experiment.without_texts(),
            "model": asdict(self.model),
            "keep": self.keep,
            "n_given": self.given,
            "n_used": self.summary.n,
            "dropped": [asdict(row) for row in self.dropped],
            "axes": list(self.axes),
            "rows": list(self.rows),
            "columns": list(self.columns),
            "tokens": [asdict(token) | {"texts": texts} for token, texts in self.tokens],
            "at_column": self.at_column,
            "metric": self.experiment.metric,
            "taken_from": self.source and self.source._asdict(),
            "recovery_is": "mean of ratios" if self.of_ratios else "ratio of means",
            **{name: _numbers(getattr(self.summary, name).tolist()) for name in grids},
            "clean_value": self.summary.clean,
            "corrupted_value": self.summary.corrupted,
            "baselines": {name: asdict(baseline) for name, baseline in self.baselines.items()},
            "bootstrap": {
                **{"samples": SAMPLES, "seed": self.seed, "level": LEVEL, "draws": self.draws},
                "in_words": self.drawn,
            },
        }


def drawn(pairs: Iterable[Pair], draws: str) -> str:
    """What a bootstrap over pairs drew, in words, and whether these were too few."""
    names = {pair.group for pair in pairs} - {""}
    if draws == "pairs" or not names:
        return "single pairs drawn"
    says = f"whole groups drawn, of which there are {len(names):,}"
    few = ": too few for such an interval to be trusted"
    return says + few * (len(names) < FEW_GROUPS)


def _numbers(of: float | list) -> float | list | None:
    if isinstance(of, list):
        return [_numbers(value) for value in of]
    return None if of != of else round(of, 6)
