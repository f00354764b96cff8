"""Components: what a set can hold, and how it is written.

    9.6          the output z of layer 9's head 6
    attn9        what layer 9's attention adds to the stream, all its heads and its bias
    mlp9         what layer 9's MLP adds to it
    resid9       the residual stream after layer 9
    embedding    the residual stream before layer 0

Each may name a position: `9.6@14`, `resid3@-1`. Without one it is meant at all positions.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from reprlib import repr as brief
from typing import Literal

from core.errors import UserError
from core.question.written import number_of, position_of

Kind = Literal["head", "attn", "mlp", "resid", "embedding"]
_FIELD = "components"
_FORMS = (
    "a head as 9.6 (layer 9, head 6), an attention output as attn9, an MLP's as mlp9, the stream"
    " after a layer as resid9 or before all as embedding; each also at one position, as 9.6@4 or"
    " resid3@-1"
)
_WRITTEN = re.compile(
    r"(?:(?P<embedding>embedding)|(?P<kind>attn|mlp|resid)(?P<of>[0-9]{1,9})"
    r"|(?P<layer>[0-9]{1,9})\.(?P<head>[0-9]{1,9}))(?:@(?P<position>-?[0-9]{1,9}))?"
)


@dataclass(frozen=True)
class Component:
    """One activation, or one for each position; `layer` is -1 for the embedding, `head` None for
    all that is no head, `position` counts from 0, None being all positions."""

    kind: Kind
    layer: int = -1
    head: int | None = None
    position: int | None = None

    def __str__(self) -> str:
        """As `parse` reads it."""
        match self.kind:
            case "head":
                name = f"{self.layer}.{self.head}"
            case "embedding":
                name = "embedding"
            case kind:
                name = f"{kind}{self.layer}"
        return name if self.position is None else f"{name}@{self.position}"


def parse(text: str, layers: int, heads: int, T: int) -> tuple[Component, ...]:
    """The set that `text` names, its members apart by blanks or commas, of a model of so many
    layers and heads, on T tokens. Raises UserError, of the field "components", for one that is
    none, that the model or the text does not have, or that is named twice."""
    found: dict[Component, str] = {}
    for word in _words(text):
        component = _component(word, layers, heads, T)
        if component in found:
            first = found[component]
            also = "" if first == word else f", as {first} and as {word}"
            raise UserError(f"{component} is named twice{also}: name it once.", _FIELD)
        found[component] = word
    return tuple(found)


def toggled(text: str, component: Component, layers: int, heads: int, T: int) -> str:
    """What `text` is without a component, however it is written there, or else with it; what else
    is written stays as it is, be it a component or not."""
    words = _words(text)
    kept = [word for word in words if not _is(word, component, layers, heads, T)]
    return " ".join(kept if len(kept) < len(words) else [*words, str(component)])


def write(components: Iterable[Component]) -> str:
    """As `parse` reads it, in the order given."""
    return " ".join(map(str, components))


def everything(layers: int, heads: int) -> tuple[Component, ...]:
    """Every head and every MLP, at all positions, in the order in which the network computes
    them."""
    return tuple(
        component
        for layer in range(layers)
        for component in (
            *(Component("head", layer, head) for head in range(heads)),
            Component("mlp", layer),
        )
    )


def all_but(
    components: Iterable[Component], layers: int, heads: int, T: int
) -> tuple[Component, ...]:
    """Every head and every MLP at every position, but for what is of `components`: an attention
    output is of its heads, a cell of the stream of all heads and MLPs up to it at its position.
    What remains at every position is one component, without a position."""
    taken: dict[Component, set[int]] = {}  # without a position -> the positions
    for component in components:
        positions = range(T) if component.position is None else (component.position,)
        for part in _parts(component, heads):
            taken.setdefault(part, set()).update(positions)
    rest: list[Component] = []
    for part in everything(layers, heads):
        if part not in taken:
            rest.append(part)
            continue
        others = (position for position in range(T) if position not in taken[part])
        rest += (Component(part.kind, part.layer, part.head, position) for position in others)
    return tuple(rest)


def _parts(component: Component, heads: int) -> list[Component]:
    """The heads and MLPs that a component is the sum of."""
    layer = component.layer
    match component.kind:
        case "head" | "mlp":
            return [Component(component.kind, layer, component.head)]
        case "attn":
            return [Component("head", layer, head) for head in range(heads)]
    return list(everything(layer + 1, heads))


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def _is(word: str, component: Component, layers: int, heads: int, T: int) -> bool:
    try:
        return _component(word, layers, heads, T) == component
    except UserError:
        return False


def _component(word: str, layers: int, heads: int, T: int) -> Component:
    written = _WRITTEN.fullmatch(word.lower())
    if written is None:
        raise UserError(f"{brief(word)} is no component: write {_FORMS}.", _FIELD)
    position = position_of(written["position"], T, _FIELD)
    if written["embedding"]:
        return Component("embedding", position=position)
    layer = number_of("layer", written["of"] or written["layer"], layers, _FIELD)
    if written["kind"]:
        return Component(written["kind"], layer, position=position)
    head = number_of("head", written["head"], heads, _FIELD)
    return Component("head", layer, head, position)
