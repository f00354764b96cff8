"""The paragraphs on the method of a report, made from what its findings used."""

from collections.abc import Iterable

from core.many.answer import KEEPS
from core.many.summary import LEVEL, SAMPLES
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.report.findings import Finding
from core.report.notebook import Report
from core.result import ModelCard, PathMap, Result
from core.views.saved import Lenses, StoredAnswer, experiment
from core.views.words import within_a_sentence

_WHAT = (
    "Activation patching asks which activations of a model carry an answer. The model reads two"
    " texts that differ in little and have the same number of tokens: a clean one, after which it"
    " should expect the target, and a corrupted one, after which it should expect the foil. Then it"
    " reads one of them again, with one activation replaced by that of the other run, and how far"
    " the prediction moves says how much that activation carries."
)
_DIRECTIONS = {
    "denoise": "clean activations were patched into the corrupted run, which asks what is"
    " sufficient to restore the answer",
    "noise": "corrupted activations were patched into the clean run, which asks what is necessary"
    " for the answer",
    "zero": "activations of the clean run were replaced by zeros",
    "position_mean": "activations of the clean run were replaced by their mean over the text’s own"
    " positions",
    "dataset_mean": "activations of the clean run were replaced by their mean over all pairs’ clean"
    " runs at the same position or role",
    "resample": "activations of the clean run were replaced by those of another pair’s clean run",
}
_HOW = (
    "Every number is of an exact run of the model, with nothing approximated: a patch of a layer at"
    " a position changes nothing before that position and nothing up to that layer, so that only"
    " what comes after it was computed anew."
)
_CHECKED = (
    "What was checked: the computation gives, cell by cell, the logits of a plain run of the model"
    " with that activation replaced, to 1e-4; each figure states what both runs give unpatched; and"
    " the model is identified by a fingerprint of its weights."
)


def method(report: Report) -> str:
    """What activation patching is, what was patched on which model, how it was computed and what
    was checked; paragraphs apart by an empty line."""
    data = [of.opened.data for of in report.findings]
    asked = [experiment(of) for of in _singles(data)]
    if not asked:
        return _WHAT
    cards = {of.name: of for of in _cards(report)}
    used = [
        _sentence("The model was ", (_model(card) for card in cards.values())),
        _sentence(
            "What was patched: ",
            dict.fromkeys(site for of in report.findings for site in _sites(of)),
        ),
        _sentence("Direction: ", (_DIRECTIONS[name] for name in _known(asked, "direction"))),
        _sentence(
            "What was measured: ",
            (
                f"{within_a_sentence(of.title)} ({of.formula.format(**_NAMES)}:"
                f" {within_a_sentence(of.says.rstrip('.'))})"
                for of in map(METRICS.get, _known(asked, "metric"))
            ),
        ),
        *_further(report),
    ]
    return "\n\n".join([_WHAT, " ".join(filter(None, used)), f"{_HOW} {_CHECKED}"])


_NAMES = {"target": "target", "foil": "foil"}


def _singles(data: Iterable[dict]) -> Iterable[dict]:
    """Files of one experiment each."""
    for of in data:
        yield from of["maps"].values() if "maps" in of else [of]


def _known(asked: list, field: str) -> list[str]:
    return list(dict.fromkeys(getattr(of, field) for of in asked))


def _cards(report: Report) -> Iterable[ModelCard]:
    for of in report.findings:
        yield from (shown.model for shown in of.maps.values())
        if isinstance(of.opened.found, Lenses):
            yield of.opened.found.model


def _model(card: ModelCard) -> str:
    return (
        f"{card.name} ({card.layers} layers, {card.parameters:,} parameters, {card.dtype}, weights"
        f" {card.fingerprint})"
    )


def _sites(of: Finding) -> Iterable[str]:
    if names := of.opened.data.get("components"):
        yield f"the set {' '.join(names)}, all of it at once"
    for shown in of.maps.values():
        if isinstance(shown, PathMap):
            yield f"the direct paths of all heads and MLPs into {shown.receiver} (path patching)"
            continue
        site, window = SITES[shown.experiment.site], shown.experiment.window
        around = f", with a window of {window} on either side" if window else ""
        title = within_a_sentence(site.title)
        yield f"the {title} ({shown.experiment.site}), by {' and '.join(site.axes)}{around}"


def _further(report: Report) -> Iterable[str]:
    """What some kinds of findings need to be said besides."""
    found = [of.opened.found for of in report.findings]
    many = [of for of in found if isinstance(of, StoredAnswer)]
    if many:
        pairs = ", ".join(f"{of.summary.n:,} of {of.given:,} pairs" for of in many)
        keeps = ", ".join(dict.fromkeys(KEEPS[of.keep] for of in many))
        yield (
            f"Maps over many pairs ({pairs}: {keeps}) show the mean over pairs with {LEVEL:.0%}"
            f" intervals of a bootstrap of {SAMPLES:,} samples."
        )
    if any(isinstance(of, Lenses) for of in found):
        yield (
            "The logit lens applies the final LayerNorm and the unembedding to the residual stream"
            " after each layer of a plain run."
        )
    guessed = sum(len(of.guesses) for of in report.findings)
    if guessed:
        yield (
            f"For {guessed} map{'s' * (guessed > 1)}, a guess of which cells move the metric, and"
            " why, was written down before the map was seen."
        )
    pairs = {
        (of.experiment.clean, of.experiment.corrupted) for of in found if isinstance(of, Result)
    }
    if pairs:
        yield f"The maps of single texts are of {len(pairs)} pair{'s' * (len(pairs) > 1)}."


def _sentence(before: str, parts: Iterable[str]) -> str:
    said = "; ".join(parts)
    return f"{before}{said}." if said else ""
