"""What a reader of a report would miss, before somebody hands it in."""

import re
from collections.abc import Iterable

from core.question.metrics import MATTERS
from core.report.findings import Finding
from core.report.notebook import SECTIONS, TEXTS, Report
from core.result import OfOnePair
from core.views.saved import Lenses, StoredAnswer
from core.views.words import label

# Words of claims that reach further than the texts they rest on.
_GENERAL = re.compile(
    r"\b(always|never|generally|in general|usually|typically|every|all (?:sentences|texts|cases)|"
    r"any (?:sentence|text)|language models?|transformers|proves?|proven)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d")


def missing(report: Report) -> list[str]:
    """What is missing, each as a sentence with what to do; what weighs most first."""
    return [*_of_findings(report), *_of_claims(report), *_of_texts(report)]


def _of_findings(report: Report) -> Iterable[str]:
    if not report.findings:
        yield "There are no findings yet: “Add to the report” on a page puts what it shows here."
    for number, of in enumerate(report.findings, start=1):
        called = f"Finding {number}, “{of.title}”,"
        if not of.words.strip():
            yield f"{called} has no text of yours: say what it shows and why that matters."
        if flips := _does_not_flip(of):
            yield f"{called} uses a pair that does not flip: {flips}"
        if not _states_baselines(of):
            yield f"{called} does not state the values of the unpatched runs: add them."


def _does_not_flip(of: Finding) -> str:
    """Why the answer of a single pair does not change from one text to the other, or nothing."""
    found = of.opened.found
    shown = next(iter(of.maps.values()), None) if not isinstance(found, StoredAnswer) else None
    if not isinstance(shown, OfOnePair) or "logit_diff" not in shown.baselines:
        return ""
    ends = shown.baselines["logit_diff"]
    target, foil = label(shown.target), label(shown.foil)
    if ends.clean <= -MATTERS["logits"] and ends.corrupted >= MATTERS["logits"]:
        return ""
    return (
        f"logit({foil}) - logit({target}) should be clearly below 0 after the clean text and"
        f" clearly above 0 after the corrupted one, and is {ends.clean:.2f} and"
        f" {ends.corrupted:.2f}. Choose a pair that flips, or say why you use this one."
    )


def _states_baselines(of: Finding) -> bool:
    """Whether its caption does, or the author's words have a number of the plain runs."""
    data = of.opened.data
    if of.maps or isinstance(of.opened.found, Lenses) or "clean_value" in data:
        return True
    return bool(_NUMBER.search(of.words) and re.search("clean|corrupted|unpatched", of.words))


def _of_claims(report: Report) -> Iterable[str]:
    found = [of.opened.found for of in report.findings]
    if not found or any(isinstance(of, StoredAnswer) for of in found):
        return
    pairs = {
        (shown.experiment.clean, shown.experiment.corrupted)
        for of in report.findings
        for shown in of.maps.values()
    }
    texts = [getattr(report, name) or "" for name in ("introduction", "discussion", "conclusion")]
    texts += [of.words for of in report.findings]
    claims = [claim for claim in map(_GENERAL.search, texts) if claim]
    rests = "a single pair" if len(pairs) == 1 else f"{len(pairs)} single pairs"
    if claims and pairs:
        yield (
            f"“{claims[0][0]}” is a general claim, but rests on {rests}: test it on the page Many"
            " pairs, or limit it to these texts."
        )


def _of_texts(report: Report) -> Iterable[str]:
    for name, what in {"title": "title", "authors": "author"}.items():
        if not getattr(report, name).strip():
            yield f"The report has no {what}."
    for name in TEXTS:
        text = getattr(report, name)
        if text is not None and not text.strip():
            yield f"The section {SECTIONS[name]} is empty."
    written = sum(report.words.values())
    if written < report.least:
        yield f"{counted(report.least - written)} too few: at least {report.least:,} are asked for."
    if written > report.most:
        yield f"{counted(written - report.most)} too many: at most {report.most:,} are asked for."


def counted(words: int) -> str:
    return f"{words:,} word{'s' * (words != 1)}"
