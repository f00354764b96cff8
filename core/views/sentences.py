"""What a lens or a map shows, in a sentence that is true of whatever numbers there are."""

import numpy as np

from core.question.tokens import Token
from core.result import EMBEDDING, Result
from core.views.words import layer_name, short


def lens_says(rows: tuple[str, ...], likeliest: list[Token], asked: Token, last_rank: int) -> str:
    """When a run comes to expect a token, as what follows "it": `likeliest` is its likeliest next
    token after each of `rows`, `last_rank` the rank of `asked` after the last."""
    is_it, name = [token.id == asked.id for token in likeliest], short(asked.label)
    when = [f"after {_row(row)}" for row in rows]
    if not is_it[-1]:
        ends = f"and ends as {short(likeliest[-1].label)}, with {name} at rank {last_rank:,}"
        if not any(is_it):
            return f"never becomes {name}, {ends}"
        return f"is {name} for the last time {when[_last(is_it)]}, {ends}"
    since = _since(is_it)
    if since == 0:
        return f"is {name} at once, from {_row(rows[0])} on"
    if any(is_it[:since]):
        return f"is {name} on and off, and for good {when[since]}"
    stays = " and stays so" if since < len(rows) - 1 else ", the last"
    return f"becomes {name} {when[since]}{stays}"


def hand_over(result: Result) -> str:
    """How the effect leaves the first token in which the texts differ and comes to the last
    position, of a map by layer and position with its embedding row."""
    recovery = result.grids.get("recovery")
    if recovery is None:
        return "Both runs answer alike, so there is nothing that a patch could bring back."
    ids = [[token.id for token in text] for text in (result.clean, result.corrupted)]
    place = next(p for p, (a, b) in enumerate(zip(*ids, strict=True)) if a != b)
    held, taken = (recovery[:, p] > 0.5 for p in (place, -1))
    return (
        f"At {result.clean[place].label}, position {place}, the last row with more than half of the"
        f" effect is {_row(result.rows[_last(held)])}; the last position has more than half"
        f" of it from {_row(result.rows[_since(taken)])} on."
    )


def _row(label: str) -> str:
    return f"the {label}" if label == EMBEDDING else layer_name(label)


def _last(flags) -> int:
    """The last place that is true of some."""
    return int(np.flatnonzero(flags)[-1])


def _since(flags) -> int:
    """The first place from which on all are true, of some whose last one is."""
    return len(flags) - int(np.argmin([*flags[::-1], False]))
