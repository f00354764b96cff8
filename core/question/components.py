"""Components of a network, and how sets of them are written.

    9.6          layer 9's head 6: its z
    mlp3 attn3   what the MLP, or the attention, of layer 3 adds to the stream
    resid3@8     the stream after layer 3 at position 8
    embedding    the input of layer 0

All but `resid` are meant at all positions unless one is named, as in `9.6@14` or `mlp3@-1`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from reprlib import repr as brief
from typing import Literal

from core.errors import UserError

Kind = Literal["embedding", "head", "attn", "mlp", "resid"]

_FIELD = "components"
_FORMS = (
    "heads as 9.6 (layer 9, head 6), MLPs as mlp3, attention outputs as attn3, cells of the"
    " residual stream as resid3@8 (after layer 3, at position 8), or embedding; with blanks"
    " between them, and all also at one position, as 9.6@14"
)
_WRITTEN = re.compile(
    r"(?:(?P<embedding>embedding)|(?P<kind>mlp|attn|resid)(?P<of>[0-9]{1,9})"
    r"|(?P<layer>[0-9]{1,9})\.(?P<head>[0-9]{1,9}))(?:@(?P<position>-?[0-9]{1,9}))?",
    re.ASCII,
)


@dataclass(frozen=True)
class Component:
    """One of them; `position` counts from 0, None being all positions."""

    kind: Kind
    layer: int = 0
    head: int | None = None
    position: int | None = None

    def __str__(self) -> str:
        """As `parse` reads it."""
        name = {"embedding": "embedding", "head": f"{self.layer}.{self.head}"}.get(
            self.kind, f"{self.kind}{self.layer}"
        )
        return name if self.position is None else f"{name}@{self.position}"


def parse(text: str, layers: int, heads: int, T: int) -> tuple[Component, ...]:
    """The components that `text` names in a model of so many layers and heads, on T tokens, in
    its order. Raises UserError, of the field "components", for what names none, and for one that
    is named twice."""
    found: dict[Component, None] = {}
    for name in re.split(r"[\s,;]+", text.strip()):
        if name:
            component = _component(name, layers, heads, T)
            if component in found:
                raise UserError(f"{component} is named twice: once is enough.", _FIELD)
            found[component] = None
    return tuple(found)


def write(components: Iterable[Component]) -> str:
    """The inverse of `parse`."""
    return " ".join(map(str, components))


def everything(layers: int, heads: int) -> tuple[Component, ...]:
    """All heads, all MLPs and the embedding: with all of them from another run, it is that run."""
    found = [Component("embedding")]
    for layer in range(layers):
        found += [Component("head", layer, head) for head in range(heads)]
        found.append(Component("mlp", layer))
    return tuple(found)


def _component(name: str, layers: int, heads: int, T: int) -> Component:
    written = _WRITTEN.fullmatch(name.lower())
    if written is None:
        raise UserError(f"{brief(name)} is no component: write {_FORMS}.", _FIELD)
    position = None
    if written["position"] is not None:
        position = _position(int(written["position"]), T, name)
    if written["embedding"]:
        return Component("embedding", position=position)
    if written["kind"] == "resid" and position is None:
        raise UserError(f"{name} needs a position, as {name}@{T - 1}.", _FIELD)
    layer = _within(written["of"] or written["layer"], "layer", layers, name)
    if written["kind"]:
        return Component(written["kind"], layer, position=position)
    return Component("head", layer, _within(written["head"], "head", heads, name), position)


def _within(number: str, what: str, size: int, name: str) -> int:
    if int(number) >= size:
        raise UserError(
            f"{name}: there is no {what} {int(number)}; this model's {what}s are 0 to {size - 1}.",
            _FIELD,
        )
    return int(number)


def _position(position: int, T: int, name: str) -> int:
    if not -T <= position < T:
        raise UserError(
            f"{name}: there is no position {position}; the texts have 0 to {T - 1}.", _FIELD
        )
    return position % T
