"""What a file is called: a name that says which experiment it is of."""

import hashlib
import json
import re
import unicodedata

from core.many.answer import Answer
from core.question.experiment import Experiment
from core.result import ComponentMap, Grade, PathMap, Result

_LONGEST_PART, _LONGEST_MODEL = 20, 40


def stem(result: Result | ComponentMap | Grade, *what: str) -> str:
    """The name, without a suffix, of a file of a result and, in words, of `what` in it."""
    experiment = result.experiment
    if isinstance(result, Grade):
        asked = (f"set_of_{len(result.components)}", experiment.direction, experiment.metric)
        return stem_of(experiment, *asked, *what, known_by=(*result.components, *what))
    if isinstance(result, PathMap):
        asked = ("paths", result.receiver, result.frozen, experiment.direction, experiment.metric)
        return stem_of(experiment, *asked, *what)
    if isinstance(result, ComponentMap):
        asked = ("components", experiment.direction, experiment.metric)
        return stem_of(experiment, *asked, *what)
    at = () if result.at_position is None else (f"at{result.at_position}",)
    asked = (experiment.site, *at, experiment.direction, experiment.metric)
    return stem_of(experiment, *asked, *what, known_by=(*at, *what))


def stem_of(experiment: Experiment, *what: str, known_by: tuple[str, ...] | None = None) -> str:
    """`patchboard-gpt2-Jones-Smith-...-1a2b3c`: the model, target and foil, `what` it is, and six
    digits that only this experiment has (by all that is in it, and by `what` or what is
    `known_by`). Safe on every file system, whatever the tokens are, and no longer than 200
    characters."""
    model = re.split(r"[/\\]", experiment.model.rstrip("/\\"))[-1]
    said = (experiment.target, experiment.foil, *what)
    parts = ["patchboard", safe(model, _LONGEST_MODEL), *map(safe, said)]
    whole = json.dumps([experiment.to_dict(), known_by or what], sort_keys=True)
    digits = hashlib.sha256(whole.encode("utf-8", "backslashreplace")).hexdigest()[:6]
    return "-".join(filter(None, parts))[:190].rstrip("-") + f"-{digits}"


def stem_of_many(answer: Answer, source: str) -> str:
    """`patchboard-gpt2-gpt2_ioi-resid_post-denoise-recovery-n300-1a2b3c`: the model, the file or
    the pack that the pairs are from, what was asked of how many pairs, and digits that only these
    pairs and this question have. As safe and as short as `stem_of`."""
    file = re.split(r"[/\\]", source)[-1]
    experiment, at = answer.experiment, answer.at_column or (None, "")
    asked = (experiment.site, at[1], experiment.direction, experiment.metric)
    what = (file.rpartition(".")[0] or file, *asked, f"n{answer.summary.n}", answer.part)
    how = (answer.given, answer.keep, answer.of_ratios, answer.seed, answer.part, at)
    how += (answer.source,) if answer.source else ()
    pairs = [of.pair for of in answer.pairs]
    return stem_of(experiment, *what, known_by=(repr((file, how, pairs)),))


def safe(part: str, longest: int = _LONGEST_PART) -> str:
    """Letters, digits and _ alone, without their accents."""
    plain = unicodedata.normalize("NFKD", part).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "_", plain).strip("_")[:longest]
