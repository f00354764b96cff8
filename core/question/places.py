"""Places: which cell of a map is meant, written as the axes of its site: "3,8" of layer and
position, "9,6" of layer and head, "9,6,14" of all three; "embedding,8" for the embedding's row.
"""

import re
from dataclasses import dataclass
from reprlib import repr as brief

from core.errors import UserError
from core.question.components import Component
from core.question.experiment import Experiment
from core.question.receivers import Receiver
from core.question.sites import SITES
from core.question.written import number_of, position_of

_FIELD = "at"
_EMBEDDING = "embedding"
# A site whose activation is a component's -> of which kind.
_KINDS = {"resid_post": "resid", "resid_pre": "resid", "attn_out": "attn", "mlp_out": "mlp"}
_KINDS |= {"head_z": "head", "head_z_position": "head"}


@dataclass(frozen=True)
class Place:
    """A layer, -1 being the embedding, and of it a head, a position or both; None is all."""

    layer: int
    head: int | None = None
    position: int | None = None

    def __str__(self) -> str:
        """As `parse` reads it."""
        row = _EMBEDDING if self.layer < 0 else str(self.layer)
        return ",".join([row, *(str(n) for n in (self.head, self.position) if n is not None)])


def of_cell(experiment: Experiment, cell: tuple[int, ...]) -> Place:
    """That of a cell of the experiment's grid."""
    found = dict(zip(SITES[experiment.site].axes, cell, strict=True))
    return Place(**found | {"layer": found["layer"] - experiment.embedding})


def parse(text: str, site: str, layers: int, heads: int, T: int) -> Place:
    """The place that `text` names on a map of `site`, of a model of so many layers and heads, on T
    tokens. Raises UserError, of the field "at", for one that is none or is not there."""
    axes = SITES[site].axes
    words = [word.strip() for word in text.split(",")]
    numbers = r"-?[0-9]{1,9}|embedding" if site == "resid_post" else r"-?[0-9]{1,9}"
    if len(words) != len(axes) or not all(re.fullmatch(numbers, word) for word in words):
        example = {2: "3,8", 3: "9,6,14"}[len(axes)]
        raise UserError(
            f"{brief(text)} is no place of {site}: write {','.join(axes).upper()} as numbers,"
            f" e.g. {example}.",
            _FIELD,
        )
    found: dict[str, int] = {}
    for axis, word in zip(axes, words, strict=True):
        if axis == "position" and word != _EMBEDDING:
            found[axis] = position_of(word, T, _FIELD)
        elif axis == "layer" and word == _EMBEDDING:
            found[axis] = -1
        elif word == _EMBEDDING or word.startswith("-"):
            raise UserError(f"{brief(word)} is no {axis}: it is a number from 0 on.", _FIELD)
        else:
            found[axis] = number_of(axis, word, {"layer": layers, "head": heads}[axis], _FIELD)
    return Place(**found)


def layers_of(experiment: Experiment, place: Place, layers: int) -> range:
    """The layers that are patched there, of a model of so many: more than one in a window."""
    if place.layer < 0:
        return range(-1, 0)
    window = experiment.window
    return range(max(0, place.layer - window), min(layers, place.layer + window + 1))


def components_of(experiment: Experiment, place: Place, layers: int) -> tuple[Component, ...]:
    """The set of components that is patched there; none where it is no component, as half of what
    makes a head's output."""
    kind = _KINDS.get(experiment.site)
    if kind is None:
        return ()
    before = experiment.site == "resid_pre"  # which is the stream after the layer before
    patched = [layer - before for layer in layers_of(experiment, place, layers)]
    return tuple(
        Component("embedding" if layer < 0 else kind, layer, place.head, place.position)
        for layer in patched
    )


def receiver_of(experiment: Experiment, place: Place) -> Receiver:
    """What to ask for what feeds a place: a head, or an MLP's input. The stream is read by all that
    comes later, and in the end by the logits."""
    at = place.layer, place.head, place.position
    if place.head is not None:
        part = experiment.site.removeprefix("head_")
        return Receiver(part if part in ("q", "k", "v") else "qkv", *at)
    if experiment.site in ("mlp_out", "resid_mid"):  # and that is the MLP's input
        return Receiver("mlp", *at)
    return Receiver("logits")
