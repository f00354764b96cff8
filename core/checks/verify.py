"""Is it right? Checks that anybody can run on the model they have.

Two kinds: what must hold for any weights (`invariants`), and numbers that others have published
for GPT-2 small (`published`, from `reference.json`). Each check says what was compared, how far
apart the two are and how far they may be; one that cannot be run says why.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from core.checks.plain_loop import PlainLoop
from core.engine.runs import Run, record
from core.engine.sweep import Sweep
from core.errors import UserError
from core.many import sweeping
from core.many.pairs import Pair
from core.many.survey import Sample, Survey
from core.models import LoadedModel
from core.presets import offered
from core.question.experiment import Experiment
from core.question.tokens import part_at, split, visible
from core.reading.unembed import Unembedding
from core.study import Study
from mingpt.bpe import END_OF_TEXT

_REFERENCE = Path(__file__).parent / "reference.json"
_OUR_TOLERANCE = 1e-4  # logits in float32: two orders of summing differ by less
_INVARIANTS = 6
_HALF_DIGITS = 4  # roundings of the largest logit, in half precision

# How many cells are compared with plain runs; of a larger grid they are drawn at random.
_PLAIN_RUNS = 40

_ANY_TEXT = "  It's 東京,\tnaïve ﬁ👩‍👧 <|endoftex|>\r\n\n don't   stop… 1000000 "


@dataclass(frozen=True)
class Check:
    """One comparison. `ours` and `theirs` are the numbers that are farthest apart."""

    title: str
    source: str  # where the other numbers come from
    tolerance: float
    ours: float = float("nan")
    theirs: float = float("nan")
    compared: int = 0  # how many numbers
    skipped: str = ""  # why it could not be run
    published: str = ""  # what others have published, in short, if it is held against that

    @property
    def difference(self) -> float:
        return abs(self.ours - self.theirs)

    @property
    def passed(self) -> bool:
        return not self.skipped and self.difference <= self.tolerance

    @property
    def line(self) -> str:
        """In words: the verdict, what was compared, and the numbers that are farthest apart."""
        if self.skipped:
            return f"  --   {self.title}: not run, {self.skipped}"
        verdict = "  ok" if self.passed else "FAILED"
        return (
            f"{verdict:<6} {self.title}: {self.compared:,} numbers, at worst {self.ours:.6g}"
            f" against {self.theirs:.6g}, {self.difference:.1e} apart (at most"
            f" {self.tolerance:.0e}); {self.source}"
        )


def checks(model: LoadedModel) -> Iterator[Check]:
    """Everything that can be said about a model, one check at a time."""
    yield from invariants(model)
    yield from published(model)


def number_of_checks() -> int:
    """How many `checks` there are for a model that some example fits."""
    return _INVARIANTS + len(_reference()["cases"])


def estimate(model: LoadedModel) -> tuple[int, int]:
    """What `checks` take, about: floating-point operations of all sweeps and plain runs, and bytes
    of memory of the largest sweep."""
    example = [preset.experiment(model.card.name) for preset in offered(model.entry, model.encoder)]
    studies = [Study(experiment, model) for experiment in example[:1]]
    plain = _PLAIN_RUNS * studies[0].plain.work if studies else 0
    reference, surveys = _reference(), []
    if model.card.name == reference["model"]:
        maps = [case for case in reference["cases"] if case["kind"] == "map"]
        studies += [Study(_experiments(case)[0], model) for case in maps if not _is_averaged(case)]
        surveys = [_survey(model, case) for case in maps if _is_averaged(case)]
    taken = [(study.estimate[0], study.estimate[2]) for study in studies]
    taken += [(sweeping.work_of(of.pairs, model, of.sweep), of.estimate[1]) for of in surveys]
    operations, memory = zip((0, 0), *taken, strict=True)
    return plain + sum(operations), max(memory)


def announced() -> list[Check]:
    """The published numbers, before anything is run."""
    return [_about(case, skipped="not run yet") for case in _reference()["cases"]]


def is_published_for(name: str) -> bool:
    """Whether the published numbers are about the model of this name."""
    return name == _reference()["model"]


def invariants(model: LoadedModel) -> Iterator[Check]:
    """What must hold for any weights, on the first example that the model knows."""
    presets = offered(model.entry, model.encoder)
    if not presets:
        yield Check("Properties of patching", "", 0, skipped="no example fits this tokenizer")
        return
    texts = [split(text, model.encoder) for text in (presets[0].clean, presets[0].corrupted)]
    clean, corrupted = record(model.gpt, *(tuple(token.id for token in text) for text in texts))
    unembedding = Unembedding(model.gpt.lm_head.weight)
    logits, itself = (
        unembedding.logits(_swept(model, base, clean)) for base in (corrupted, clean)
    )  # (L, T, V) each
    plain_clean, plain_corrupted = (unembedding.logits(run.state) for run in (clean, corrupted))
    parted = part_at(*texts)
    # Two orders of summing float32 differ by less; half precision has two or three digits.
    coarse = _HALF_DIGITS * torch.finfo(corrupted.state.dtype).eps * plain_clean.abs().max().item()
    tolerance = _OUR_TOLERANCE if model.card.dtype == "float32" else coarse

    plain = PlainLoop(model.gpt, corrupted.ids, clean.ids)
    some = plain.cells[:_PLAIN_RUNS]
    yield _compare(
        f"The sweep gives what plain patched runs give ({len(some)} of {len(plain.cells)} cells)",
        "one forward pass for each cell",
        torch.stack([logits[cell] for cell in some]),
        torch.stack([plain.logits(*cell) for cell in some]),
        tolerance,
    )
    yield _compare(
        "Before the first differing token a patch changes nothing",
        "the corrupted run",
        logits[:, :parted],
        plain_corrupted.expand_as(logits[:, :parted]),
    )
    yield _compare(
        "After the last layer a patch changes the last position alone",
        "the corrupted run",
        logits[-1, :-1],
        plain_corrupted.expand_as(logits[-1, :-1]),
    )
    yield _compare(
        "There it makes the prediction that of the clean run",
        "the clean run",
        logits[-1, -1],
        plain_clean,
    )
    yield _compare(
        "A text patched with itself stays as it is",
        "the clean run",
        itself,
        plain_clean.expand_as(itself),
    )
    title = "Any text comes back from its tokens"
    if not model.encoder.keeps_texts:
        yield Check(title, "", 0, skipped="this model's tokenizer changes texts")
        return
    back = model.encoder.decode(model.encoder.encode(_ANY_TEXT))
    wrong = sum(a != b for a, b in zip_longest(back, _ANY_TEXT))
    yield Check(title, "the text", 0, wrong, 0, len(_ANY_TEXT))


def published(model: LoadedModel) -> Iterator[Check]:
    """The cases of `reference.json`, all about one model."""
    reference = _reference()
    measure = {
        "token_ids": _token_ids,
        "next_tokens": _next_tokens,
        "logit_differences": _logit_differences,
        "map": _swept_map,
    }
    for case in reference["cases"]:
        reason = ""
        if model.card.name != reference["model"]:
            reason = f"published for {reference['model']}, and this is {model.card.name}"
        elif model.card.dtype != "float32" and case["kind"] != "token_ids":
            reason = f"published with more digits than {model.card.dtype} has"
        if reason:
            yield _about(case, skipped=reason)
        else:
            check = _about(case)
            numbers = measure[case["kind"]](model, case)
            made = _compare(check.title, check.source, *numbers, check.tolerance)
            yield replace(made, published=check.published)


@cache
def _reference() -> dict:
    return json.loads(_REFERENCE.read_text(encoding="utf-8"))


def _about(case: dict, skipped: str = "") -> Check:
    """A published case, not compared with anything yet."""
    about = case["title"], case["source"], case["tolerance"]
    return Check(*about, skipped=skipped, published=_IN_SHORT[case["kind"]](case))


def _first(values: list[str]) -> str:
    return ", ".join(values[:3] + ["…"] * (len(values) > 3))


_IN_SHORT = {
    "token_ids": lambda case: _first(
        [f"{visible(text['text'])} {text['ids'][0]}" for text in case["texts"][::-1]]
    ),
    "next_tokens": lambda case: _first([f"{visible(text)} {p:.4g}" for text, p in case["probs"]]),
    "logit_differences": lambda case: _first([f"{p['value']:.4g}" for p in case["prompts"]]),
    "map": lambda case: "{} x {} numbers from {:.4g} to {:.4g}".format(
        *np.shape(case["values"]), np.min(case["values"]), np.max(case["values"])
    ),
}


def _experiments(case: dict) -> list[Experiment]:
    """The text pairs of a published map."""
    model = _reference()["model"]
    same = {"model": model, "bos": case["bos"], "site": case["site"]}
    return [Experiment(**texts, **same) for texts in case["pairs"]]


def _is_averaged(case: dict) -> bool:
    return len(case["pairs"]) > 1


def _survey(model: LoadedModel, case: dict) -> Survey:
    """The text pairs of a published map that is of several, as a file of them would be read.
    Raises UserError for one that cannot be used: the map would be of the others."""
    asked = _experiments(case)
    pairs = [
        Pair(str(line), line, of.clean, of.corrupted, (of.target,), (of.foil,))
        for line, of in enumerate(asked, start=1)
    ]
    sample = Sample(pairs, (), model, bos=case["bos"])
    for row in sample.dropped:
        raise UserError(f"Pair {row.id} of “{case['title']}” cannot be used: {row.reason}")
    return Survey(sample, asked[0], metrics=())


def _token_ids(model: LoadedModel, case: dict) -> tuple[list[int], list[int]]:
    """Every text's ids one after the other, a text of another length as an id that is none."""
    ours, theirs = [], []
    for text in case["texts"]:
        ids = model.encoder.encode(text["text"])
        ours += ids if len(ids) == len(text["ids"]) else [-1] * len(text["ids"])
        theirs += text["ids"]
    return ours, theirs


def _next_tokens(model: LoadedModel, case: dict) -> tuple[torch.Tensor, list[float]]:
    probs = _logits(model, case["prompt"], case["bos"]).softmax(dim=-1)
    ids = [model.encoder.encode(token)[0] for token, _ in case["probs"]]
    return probs[ids], [prob for _, prob in case["probs"]]


def _logit_differences(model: LoadedModel, case: dict) -> tuple[list[float], list[float]]:
    ours = []
    for prompt in case["prompts"]:
        logits = _logits(model, prompt["prompt"], case["bos"])
        target, foil = (model.encoder.encode(prompt[name])[0] for name in ("target", "foil"))
        ours.append((logits[foil] - logits[target]).item())
    return ours, [prompt["value"] for prompt in case["prompts"]]


def _swept_map(model: LoadedModel, case: dict) -> tuple[np.ndarray, list[list[float]]]:
    """A sweep; of several pairs, the map over them."""
    experiment, *_ = (replace(of, metric=case["metric"]) for of in _experiments(case))
    if _is_averaged(case):
        survey = _survey(model, case)
        for _ in survey:
            pass
        return survey.read(experiment).values, case["values"]
    study = Study(experiment, model)
    for _ in study:
        pass
    return study.read(experiment, metrics=()).values, case["values"]


def _swept(model: LoadedModel, base: Run, source: Run) -> torch.Tensor:
    sweep = Sweep(model.gpt, base, source)
    for _ in sweep:
        pass
    return sweep.states  # (L, T, C)


def _logits(model: LoadedModel, prompt: str, bos: bool) -> torch.Tensor:
    """What comes after a prompt: (V,)."""
    before = [model.encoder.encoder[END_OF_TEXT]] if bos else []
    (run,) = record(model.gpt, (*before, *model.encoder.encode(prompt)))
    return Unembedding(model.gpt.lm_head.weight).logits(run.state)


def _compare(title: str, source: str, ours, theirs, tolerance: float = _OUR_TOLERANCE) -> Check:
    """A check of all numbers of `ours` against those of `theirs`."""
    ours, theirs = (np.asarray(torch.as_tensor(x).cpu().double()) for x in (ours, theirs))
    if not ours.size:
        return Check(title, source, tolerance, skipped="the example has no such cell")
    worst = np.unravel_index(np.abs(ours - theirs).argmax(), ours.shape)
    return Check(title, source, tolerance, float(ours[worst]), float(theirs[worst]), ours.size)
