"""Answers to many pairs for the tests: of a small random model, and of any shape."""

from collections.abc import Iterable

import numpy as np

from core.many.answer import Answer
from core.many.fitting import Fitted
from core.many.marks import parse
from core.many.pairs import Dropped, Pair
from core.many.survey import Sample, Survey
from core.many.values import Screened, Swept, Values
from core.models import LoadedModel
from core.question.experiment import Experiment
from core.question.metrics import METRICS
from core.question.tokens import Token
from core.result import ModelCard

# Texts of the tiny tokenizer with roles, of several lengths; what comes next, rightly and not.
_TEXTS = (
    ("[who:Anna][name:{}] met Bob Ray.[again: Anna]", " Lee", " Poe"),
    ("- Bob, [who:Anna][name:{}] met Ray.[again: Anna]", " Poe", " Ray"),
    ("[who:Anna][name:{}] met \\[Bob\\]. Ray.[again: Anna]", " Lee", " Ray"),
)


def pair(number: int, id: str = "", group: str = "") -> Pair:
    """One of as many pairs as are wanted, all different."""
    text, name, other = _TEXTS[number % 3]
    (clean, roles), (corrupted, _) = (
        parse(text.format(of) + " met" * (number // 3)) for of in (name, other)
    )
    about = {"group": group, "clean_roles": roles, "corrupted_roles": roles}
    return Pair(id or f"pair {number}", number + 2, clean, corrupted, (name,), (other,), **about)


def many(
    model: LoadedModel,
    given: Iterable[Pair],
    dropped: Iterable[Dropped] = (),
    keep: str = "all",
    of_ratios: bool = False,
    **changes,
) -> Answer:
    """The answer of a model to pairs, each metric read off."""
    asked = Experiment("", "", "", "", **{"model": model.card.name, "metric": "recovery"} | changes)
    survey = Survey(Sample([*given], [*dropped], model, asked.bos), asked, keep, METRICS)
    for _ in survey:
        pass
    return survey.read(asked, of_ratios)


def of_shape(
    rows: int, columns: int, axes: tuple[str, ...] = ("layer", "position"), n: int = 20, **changes
) -> Answer:
    """An answer with random numbers: no effect in most cells, and a sure one in a few."""
    rng = np.random.default_rng(0)
    site = "resid_post" if axes[1] != "head" else "head_z"
    asked = Experiment("", "", "", "", model="gpt2", metric="recovery", site=site)
    effect = np.where(rng.random((rows, columns)) < 0.2, rng.random((rows, columns)), 0)
    swept = []
    for number in range(n):
        ends = -3 + rng.normal(), 3 + rng.normal()
        recovered = effect + 0.2 * rng.normal(size=effect.shape)
        grid = (ends[1] + recovered * (ends[0] - ends[1])).astype(np.float32)
        fitted = Fitted(pair(number), (1, 2), (1, 3), (4,), (5,), ())
        screened = Screened(*ends, 1, 1, 0.5, 0.5, Token(4, " Lee"), Token(5, " Poe"))
        swept.append(Swept(fitted, screened, Values({"logit_diff": ends}, {"logit_diff": grid})))
    words = [" When", " Mary", " and", " Christopher", ","]
    about = {
        "experiment": asked,
        "model": ModelCard("gpt2", "0123456789ab", rows, 124439808),
        "axes": axes,
        "rows": tuple(map(str, range(rows))),
        "columns": tuple(map(str, range(columns))),
        "tokens": tuple((Token(i, words[i % 5]), n // 2) for i in range(columns)),
        "keep": "all",
        "given": n + 2,
        "dropped": (Dropped(90, "", "The row has no clean."), Dropped(91, "x", "It is too long.")),
        "left_out": (),
    }
    return Answer.of(swept, **about | changes)
