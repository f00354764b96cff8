"""Receivers: what a path from a sender can lead into, and how it is written.

    logits                  what the last position is unembedded to
    9.6.q  9.6.k  9.6.v     the query, the key or the value of layer 9's head 6
    9.6                     all three of them
    mlp3                    the input of layer 3's MLP

All but the logits may name a position: `9.6.q@-1`. Without one they are meant at all positions.
"""

import re
from dataclasses import dataclass
from reprlib import repr as brief
from typing import Literal

from core.errors import UserError
from core.question.written import number_of, position_of

Kind = Literal["logits", "q", "k", "v", "qkv", "mlp"]

_FIELD = "receiver"
_FORMS = (
    "logits, a head's query, key or value as 9.6.q, 9.6.k or 9.6.v (layer 9, head 6), all three as"
    " 9.6, or an MLP's input as mlp3; all but logits also at one position, as 9.6.q@4 or mlp3@-1"
)
_WRITTEN = re.compile(
    r"(?:(?P<logits>logits)"
    r"|(?:mlp(?P<mlp>[0-9]{1,9})|(?P<layer>[0-9]{1,9})\.(?P<head>[0-9]{1,9})(?:\.(?P<part>[qkv]))?)"
    r"(?:@(?P<position>-?[0-9]{1,9}))?)"
)


@dataclass(frozen=True)
class Receiver:
    """Where a path ends; `position` counts from 0, None being all positions."""

    kind: Kind
    layer: int | None = None
    head: int | None = None
    position: int | None = None

    def __str__(self) -> str:
        """As `parse` reads it."""
        match self.kind:
            case "logits":
                return "logits"
            case "mlp":
                name = f"mlp{self.layer}"
            case "qkv":
                name = f"{self.layer}.{self.head}"
            case part:
                name = f"{self.layer}.{self.head}.{part}"
        return name if self.position is None else f"{name}@{self.position}"


def parse(text: str, layers: int, heads: int, T: int) -> Receiver:
    """The receiver that `text` names in a model of so many layers and heads, on T tokens. Raises
    UserError, of the field "receiver", for a text that names none."""
    written = _WRITTEN.fullmatch(text.strip().lower())
    if written is None:
        raise UserError(f"{brief(text)} is no receiver: write {_FORMS}.", _FIELD)
    if written["logits"]:
        return Receiver("logits")
    layer = number_of("layer", written["mlp"] or written["layer"], layers, _FIELD)
    position = position_of(written["position"], T, _FIELD)
    if written["mlp"]:
        return Receiver("mlp", layer, None, position)
    head = number_of("head", written["head"], heads, _FIELD)
    return Receiver(written["part"] or "qkv", layer, head, position)
