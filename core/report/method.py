"""The paragraphs on the method of a report, made from what its findings used."""

from collections.abc import Collection, Iterable

from core.many.answer import KEEPS
from core.many.summary import LEVEL, SAMPLES
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.report.findings import Finding
from core.report.notebook import Report
from core.result import PathMap
from core.views.saved import Lenses, StoredAnswer, experiment
from core.views.words import averaged, within_a_sentence

_WHAT = (
    "Activation patching asks which activations of a language model carry an answer. The model"
    " reads two texts that differ only slightly and have the same number of tokens: a clean one,"
    " after which it should expect the target, and a corrupted one, after which it should expect"
    " the foil. It then reads one of them again while one activation is replaced by that of the"
    " other run; how far the prediction moves shows how much of the answer that activation carries."
)
_DIRECTIONS = {
    "denoise": "Clean activations were patched into the corrupted run (denoising), which asks what"
    " is sufficient to restore the answer.",
    "noise": "Corrupted activations were patched into the clean run (noising), which asks what is"
    " necessary for the answer.",
    "zero": "Activations of the clean run were replaced by zeros (zero ablation).",
    "position_mean": "Activations of the clean run were replaced by their mean over the text’s own"
    " positions (mean ablation).",
    "dataset_mean": "Activations of the clean run were replaced by their mean over the clean runs"
    " of all pairs, at the same position or role (mean ablation).",
    "resample": "Activations of the clean run were replaced by those of another pair’s clean run"
    " (resample ablation).",
}
_LENS = (
    "The logit lens applies the final LayerNorm and the unembedding to the residual stream after"
    " each layer of an unpatched run, which shows what the model would predict if it stopped there."
)
_HOW = (
    "Every number comes from an exact run of the model; nothing was approximated. A patch at one"
    " layer and position leaves all earlier positions and layers as they were, so only what comes"
    " after it was computed again."
)
_CHECKED = (
    "Patchboard’s tests hold this computation against plain runs of a model with that activation"
    " replaced, cell by cell: their logits agree to within 1e-4. Each figure states what both runs"
    " give without a patch, and a fingerprint of the weights identifies the model."
)


def method(report: Report) -> str:
    """What activation patching is, what was patched on which model, how it was computed and what
    was checked; paragraphs apart by an empty line."""
    patched = [of for of in report.findings if not isinstance(of.opened.found, Lenses)]
    data = [of for finding in report.findings for of in _singles(finding)]
    asked = [experiment(of) for finding in patched for of in _singles(finding)]
    models = list(dict.fromkeys(_model(of["model"]) for of in data if of.get("model")))
    sites = dict.fromkeys(site for of in patched for site in _sites(of))
    metrics = dict.fromkeys(of.metric for of in asked)
    used = [
        _sentence("The model was", "The models were", models),
        _sentence("Patches were applied to", "Patches were applied to", sites),
        *(_DIRECTIONS[name] for name in dict.fromkeys(of.direction for of in asked)),
        _sentence("The measure was", "The measures were", [*map(_measure, metrics)]),
        *_further(report),
    ]
    said = [" ".join(filter(None, used))]
    if patched or not report.findings:
        said.insert(0, _WHAT)
    if patched:
        said.append(f"{_HOW} {_CHECKED}")
    return "\n\n".join(filter(None, said))


def _sentence(of_one: str, of_several: str, parts: Collection[str]) -> str:
    return f"{of_several if len(parts) > 1 else of_one} {'; '.join(parts)}." if parts else ""


def _singles(of: Finding) -> Iterable[dict]:
    """The data of a finding, of each experiment by itself."""
    data = of.opened.data
    return data["maps"].values() if "maps" in data else [data]


def _model(card: dict) -> str:
    """What a model is called, and which it is; of a foreign file no more than it says."""
    name, about = card["name"], [f"{card['layers']} layers"]
    if name.startswith("teaching"):
        name, about = "Patchboard’s small teaching model", [name, *about]
    if isinstance(card.get("parameters"), int):
        about.append(f"{card['parameters']:,} parameters")
    return f"{name} ({', '.join(about)}, {card['dtype']}, weights {card['fingerprint']})"


def _measure(name: str) -> str:
    metric = METRICS[name]
    tokens = {"target": "target", "foil": "foil"}
    formula = metric.formula.format(**tokens)
    if "LD" in formula:
        formula += f", where LD is {METRICS['logit_diff'].formula.format(**tokens)}"
    says = within_a_sentence(metric.says.rstrip("."))
    return f"{_the(metric.title)}, {formula} ({says})"


def _the(title: str) -> str:
    said = within_a_sentence(title)
    return said if said.startswith("recovery") else f"the {said}"


def _sites(of: Finding) -> Iterable[str]:
    if names := of.opened.data.get("components"):
        yield f"the set {' '.join(names)}, all of it at once"
    for shown in of.maps.values():
        if isinstance(shown, PathMap):
            yield f"the direct paths of all heads and MLPs into {shown.receiver} (path patching)"
            continue
        site, window = SITES[shown.experiment.site], shown.experiment.window
        around = f", together with {window} layers on either side" if window else ""
        title, axes = within_a_sentence(site.title), " and ".join(site.axes)
        axes = axes.replace(" and ", ", ", len(site.axes) - 2)
        yield f"the {title} ({shown.experiment.site}), by {axes}{around}"


def _further(report: Report) -> Iterable[str]:
    """What some kinds of findings need to be said besides."""
    found = [of.opened.found for of in report.findings]
    many = [of for of in found if isinstance(of, StoredAnswer)]
    if many:
        each = (
            f"{_the(averaged(of))} over {of.summary.n:,} of {of.given:,} pairs ({KEEPS[of.keep]})"
            for of in many
        )
        yield (
            f"Over many pairs, a map shows {'; '.join(dict.fromkeys(each))}, with {LEVEL:.0%}"
            f" intervals from a bootstrap of {SAMPLES:,} samples."
        )
    if any(isinstance(of, Lenses) for of in found):
        yield _LENS
    guessed = sum(len(of.guesses) for of in report.findings)
    if guessed:
        yield (
            f"For {_counted(guessed, 'map')}, a guess of which cells would move the metric, and"
            " why, was written down while the map was hidden."
        )
    pairs = {
        (asked.clean, asked.corrupted)
        for of in report.findings
        if not isinstance(of.opened.found, StoredAnswer)
        for asked in map(experiment, _singles(of))
        if asked.clean
    }
    if pairs:
        whose = "What is not over many pairs is" if many else "All results are"
        yield f"{whose} of {_counted(len(pairs), 'pair')} of texts{_EACH * (len(pairs) > 1)}."


_EACH = ", each taken by itself"


def _counted(number: int, what: str) -> str:
    return f"one {what}" if number == 1 else f"{number} {what}s"
