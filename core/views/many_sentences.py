"""What a map over many pairs shows, in sentences that are true of any numbers."""

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from core.many.answer import Answer
from core.many.fitting import Fitted
from core.many.pairs import Dropped, counted
from core.many.summary import LEVEL
from core.many.values import Screened
from core.question.metrics import MATTERS
from core.views.doubts import matters
from core.views.sentences import most_is
from core.views.words import averaged, column_name, number, row_name

_MANY_AGREE = 0.8  # of the pairs
_FEW = 10  # pairs, over which an interval says little


def says(answer: Answer) -> str:
    """The strongest cell and how sure it is, whether the pairs agree there, how many cells are
    beyond doubt, and of a map by position or role where most of the effect is."""
    s, metric = answer.summary, answer.experiment.metric
    effects = np.abs(s.mean - s.unpatched)
    found, strongest = effects.copy(), "Strongest"
    if answer.experiment.site == "resid_post" and answer.other:
        found[-1, -1] = 0.0  # by the way the patch is made, whatever the model does
        strongest += " (but for the last layer at the last position, which is the run put in)"
    if found.max() < matters(answer) <= effects.max():
        found, strongest = effects, "Strongest"
    row, column = np.unravel_index(int(found.argmax()), effects.shape)
    mean, low, high = (number(metric, of[row, column]) for of in (s.mean, s.low, s.high))
    is_what = f"{_place(answer, row, column)}, {averaged(answer)} {mean}"
    sure = f"{LEVEL:.0%} interval {low} to {high}"
    if effects.max() < matters(answer):
        over = "this pair" if s.n == 1 else f"these {s.n:,} pairs"
        return f"No patch does much over {over}. Strongest: {is_what} ({sure})."
    share = s.agreement[row, column]
    agree = "of which all" if share == 1 else f"of which {share:.0%}"
    disagree = "" if share >= _MANY_AGREE else " The pairs disagree there: look at every pair."
    return (
        f"{strongest}: {is_what} ({sure}; without a patch {number(metric, s.unpatched)}), over"
        f" {counted(s.n, 'pair')}, {agree} move that way.{disagree} In"
        f" {int((~s.says_nothing).sum()):,} of {effects.size:,} cells the interval"
        f" excludes zero effect.{_where(answer)}{_caution(answer)}"
    )


def _where(answer: Answer) -> str:
    """At which position or role most of the effect is, layer by layer; nothing of heads, of metrics
    that are no share of a difference, and where the runs hardly differ."""
    metric = answer.experiment.metric
    if answer.axes[1] == "head" or metric not in ("logit_diff", "recovery") or not answer.other:
        return ""
    ends = [answer.plain("logit_diff", run) for run in (answer.other, answer.unpatched)]
    if abs(ends[0] - ends[1]) < MATTERS["logits"]:
        return ""
    base = answer.plain(metric)
    effect = (answer.values - base) / (answer.plain(metric, answer.other) - base)
    return f" {most_is(effect, answer.rows, lambda column: column_name(answer, column))}"


def _caution(answer: Answer) -> str:
    """What to say of intervals that rest on little."""
    n = answer.summary.n
    if n < _FEW:
        return f" Over {counted(n, 'pair')} an interval says little: bring more."
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


def differ_in(clean: str, corrupted: str) -> str:
    """The words in which two texts differ: "John / Mary"."""
    one, other = clean.split(), corrupted.split()
    pieces = [
        f"{' '.join(one[a:b]) or '-'} / {' '.join(other[c:d]) or '-'}"
        for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
        if kind != "equal"
    ]
    return ", ".join(pieces)
