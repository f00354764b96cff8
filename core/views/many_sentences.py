"""What a map over many pairs shows, in sentences that are true of any numbers."""

from collections.abc import Sequence

import numpy as np

from core.many.answer import Answer
from core.many.fitting import Fitted
from core.many.pairs import Dropped
from core.many.values import Screened
from core.views.doubts import matters
from core.views.many_maps import column_name
from core.views.words import averaged, number, row_name

_MANY_AGREE = 0.8  # of the pairs
_FEW = 10  # pairs, over which an interval says little


def says(answer: Answer) -> str:
    """Where the strongest cell is, how sure, how many cells are beyond doubt, and whether the pairs
    agree."""
    s, metric = answer.summary, answer.experiment.metric
    effects = s.mean - s.unpatched
    row, column = np.unravel_index(int(np.abs(effects).argmax()), effects.shape)
    mean, low, high = (number(metric, of[row, column]) for of in (s.mean, s.low, s.high))
    if abs(effects[row, column]) < matters(answer):
        return (
            f"No patch does much over these {s.n:,} pairs: the strongest is"
            f" {_place(answer, row, column)}, {mean} [{low}, {high}]."
        )
    sure = int((~s.says_nothing).sum())
    share = s.agreement[row, column]
    agree = "of which all" if share == 1 else f"of which {share:.0%}"
    disagree = "" if share >= _MANY_AGREE else " The pairs disagree there: look at every pair."
    return (
        f"Strongest: {_place(answer, row, column)}, {averaged(answer).lower()} {mean} [{low},"
        f" {high}], unpatched {number(metric, s.unpatched)}, over {s.n:,} pairs, {agree} move that"
        f" way. In {sure:,} of {effects.size:,} cells zero effect lies outside the interval."
        f"{disagree}{_caution(answer)}"
    )


def _caution(answer: Answer) -> str:
    """What to say of intervals that rest on little."""
    n = answer.summary.n
    if n < _FEW:
        return f" Over {n} pair{'s' * (n > 1)} an interval says little: bring more."
    return f" Careful: {answer.drawn}." if "too few" in answer.drawn else ""


def screened_says(
    given: int, rows: Sequence[tuple[Fitted, Screened, str]], dropped: Sequence[Dropped]
) -> str:
    """How many pairs can be used, and do what they claim. `rows` say why one is left out, or ""."""
    flip = sum(of.flips for _, of, _ in rows)
    first, foil = (
        sum(getattr(of, name) for _, of, _ in rows) for name in ("is_first", "foil_is_first")
    )
    used = sum(not why for *_, why in rows)
    cannot = f" ({len(dropped):,} cannot be used)" if dropped else ""
    return (
        f"{given:,} given{cannot}. That flip: {flip:,}; with the target first on the clean run:"
        f" {first:,}; with the foil first on the corrupted one: {foil:,}; used: {used:,}."
    )


def _place(answer: Answer, row: int, column: int) -> str:
    if answer.axes[1] == "head":
        return f"head {answer.columns[column]} of {row_name(answer, row)}"
    return f"{row_name(answer, row)} at {column_name(answer, column)}"
