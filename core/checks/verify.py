"""Is it right? Checks that anybody can run on the model they have.

Two kinds: what must hold for any weights (`invariants`), and numbers that others have published
for GPT-2 small (`published`, from `reference.json`). Each check says what was compared, how far
apart the two are and how far they may be; one that cannot be run says why.
"""

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from core.engine import patching
from core.models import LoadedModel
from core.presets import offered
from core.question.experiment import Experiment
from core.question.tokens import part_at, split
from core.study import Study
from mingpt.bpe import END_OF_TEXT
from mingpt.model import PatchParams

_REFERENCE = Path(__file__).parent / "reference.json"
_OUR_TOLERANCE = 1e-4  # logits in float32: two orders of summing differ by less

# Plain runs for the comparison with the loop: of a larger grid, so many cells drawn at random.
_PLAIN_RUNS = 40

_ANY_TEXT = "  It's 東京,\tnaïve ﬁ👩‍👧 <|endoftext|>\r\n\n don't   stop… 1000000 "


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

    @property
    def difference(self) -> float:
        return abs(self.ours - self.theirs)

    @property
    def passed(self) -> bool:
        return not self.skipped and self.difference <= self.tolerance


def checks(model: LoadedModel) -> Iterator[Check]:
    """Everything that can be said about a model, one check at a time."""
    yield from invariants(model)
    yield from published(model)


def invariants(model: LoadedModel) -> Iterator[Check]:
    """What must hold for any weights, on the first example that the model knows."""
    presets = offered(model.entry, model.encoder)
    if not presets:
        yield Check("Properties of patching", "", 0, skipped="no example fits this tokenizer")
        return
    texts = [split(text, model.encoder) for text in (presets[0].clean, presets[0].corrupted)]
    clean, corrupted = patching.begin(
        model.gpt, *(tuple(token.id for token in text) for text in texts)
    )
    logits = _logits(model, _swept(model, base=corrupted, source=clean))  # (L, T, V)
    plain_clean, plain_corrupted = _logits(model, clean.state), _logits(model, corrupted.state)
    itself = _logits(model, _swept(model, base=clean, source=clean))
    parted = part_at(*texts)

    yield _against_plain_loop(model, clean.ids, corrupted.ids, logits)
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
    back = model.encoder.decode(model.encoder.encode(_ANY_TEXT))
    wrong = sum(a != b for a, b in zip_longest(back, _ANY_TEXT))
    yield Check("Any text comes back from its tokens", "the text", 0, wrong, 0, len(_ANY_TEXT))


def published(model: LoadedModel) -> Iterator[Check]:
    """The cases of `reference.json`, all about one model."""
    reference = json.loads(_REFERENCE.read_text(encoding="utf-8"))
    measure = {
        "token_ids": _token_ids,
        "next_tokens": _next_tokens,
        "logit_differences": _logit_differences,
        "map": _map,
    }
    for case in reference["cases"]:
        about = case["title"], case["source"]
        if model.card.name != reference["model"]:
            reason = f"published for {reference['model']}, and this is {model.card.name}"
            yield Check(*about, case["tolerance"], skipped=reason)
        else:
            yield _compare(*about, *measure[case["kind"]](model, case), case["tolerance"])


def _against_plain_loop(
    model: LoadedModel, clean: tuple[int, ...], corrupted: tuple[int, ...], logits: torch.Tensor
) -> Check:
    """The sweep's `logits` (L, T, V) against one plain forward pass for each cell."""
    gpt = copy.copy(model.gpt)  # storing and patching set attributes, and the model is shared
    cells = [(layer, p) for layer in range(logits.shape[0]) for p in range(logits.shape[1])]
    some = random.Random(0).sample(cells, min(_PLAIN_RUNS, len(cells)))
    gpt(torch.tensor([clean], device=logits.device), store_activations=True)
    kept = gpt.layer_activations
    plain = []
    for layer, p in some:
        patch = PatchParams(layer, p, kept[layer][0, p])
        gpt(torch.tensor([corrupted], device=logits.device), patch_params=patch)
        plain.append(gpt.last_token_logits[0])
    return _compare(
        f"The sweep gives what plain patched runs give ({len(some)} of {len(cells)} cells)",
        "one forward pass for each cell",
        torch.stack([logits[cell] for cell in some]),
        torch.stack(plain),
    )


def _token_ids(model: LoadedModel, case: dict) -> tuple[list[int], list[int]]:
    """Every text's ids one after the other, a text of another length as an id that is none."""
    ours, theirs = [], []
    for text in case["texts"]:
        ids = model.encoder.encode(text["text"])
        ours += ids if len(ids) == len(text["ids"]) else [-1] * len(text["ids"])
        theirs += text["ids"]
    return ours, theirs


def _next_tokens(model: LoadedModel, case: dict) -> tuple[torch.Tensor, list[float]]:
    probs = _logits(model, _state(model, case["prompt"], case["bos"])).softmax(dim=-1)
    ids = [model.encoder.encode(token)[0] for token, _ in case["probs"]]
    return probs[ids], [prob for _, prob in case["probs"]]


def _logit_differences(model: LoadedModel, case: dict) -> tuple[list[float], list[float]]:
    ours = []
    for prompt in case["prompts"]:
        logits = _logits(model, _state(model, prompt["prompt"], case["bos"]))
        target, foil = (model.encoder.encode(prompt[name])[0] for name in ("target", "foil"))
        ours.append((logits[foil] - logits[target]).item())
    return ours, [prompt["value"] for prompt in case["prompts"]]


def _map(model: LoadedModel, case: dict) -> tuple[np.ndarray, list[list[float]]]:
    """A sweep; of several pairs, that of their mean logit difference."""
    results = []
    for texts in case["pairs"]:
        experiment = Experiment(**texts, model=model.card.name, bos=case["bos"], site=case["site"])
        study = Study(experiment, model)
        for _ in study.steps():
            pass
        results.append(study.read(experiment, metrics=()))
    values = np.mean([result.values for result in results], axis=0)
    if case["metric"] == "recovery":
        plain = [result.baselines["logit_diff"] for result in results]
        clean = np.mean([baseline.clean for baseline in plain])
        corrupted = np.mean([baseline.corrupted for baseline in plain])
        values = (values - corrupted) / (clean - corrupted)
    return values, case["values"]


def _swept(model: LoadedModel, base: patching.Run, source: patching.Run) -> torch.Tensor:
    *_, (_, states) = patching.sweep(model.gpt, base, source)
    return states  # (L, T, C)


def _state(model: LoadedModel, prompt: str, bos: bool) -> torch.Tensor:
    before = [model.encoder.encoder[END_OF_TEXT]] if bos else []
    ids = (*before, *model.encoder.encode(prompt))
    return patching.record(model.gpt, ids)[0].state


def _logits(model: LoadedModel, states: torch.Tensor) -> torch.Tensor:
    """(..., C) -> (..., V)."""
    with torch.inference_mode():
        return states @ model.gpt.lm_head.weight.T


def _compare(title: str, source: str, ours, theirs, tolerance: float = _OUR_TOLERANCE) -> Check:
    """A check of all numbers of `ours` against those of `theirs`."""
    ours, theirs = (np.asarray(torch.as_tensor(x).cpu(), dtype=float) for x in (ours, theirs))
    if not ours.size:
        return Check(title, source, tolerance, skipped="the example has no such cell")
    worst = np.unravel_index(np.abs(ours - theirs).argmax(), ours.shape)
    return Check(title, source, tolerance, float(ours[worst]), float(theirs[worst]), ours.size)
