"""Two texts of unequal length, or the same twice -> the shortest changes to either that make them
equally long, and different.

What differs between them are pieces: tokens of one text in the place of tokens of the other. Where
a piece is longer, it is cut to the length of the other one, or another word takes its place; where
the other text has nothing there, the piece is dropped, or it or a word like it put into the other
text as well. Where both are the same, a word like it takes the place of one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from core.question.experiment import SIDES
from core.question.tokens import visible
from mingpt.bpe import Encoder, TokenizerError

_LONGEST = 400  # tokens; of longer texts the comparison takes too long to be waited for
_WORDS = 2  # that are named for one place


@dataclass(frozen=True)
class Repair:
    """What to do, in words, and the field of the experiment that changes."""

    says: str
    changes: dict[str, str]


def text_of(ids: Sequence[int], encoder: Encoder) -> str | None:
    """The text that is read as these tokens, without those put before every text; None if there is
    no such text: tokens of another text need not be the ones that joining would give."""
    text = encoder.decode(list(ids))
    try:
        return text if text.strip() and encoder.encode(text) == list(ids) else None
    except TokenizerError:
        return None


def repairs(
    clean: str,
    corrupted: str,
    encoder: Encoder,
    alike: Callable[[str], Iterable[str]] = lambda word: (),
    most: int = 4,
) -> tuple[Repair, ...]:
    """Changes of one text each that make both equally long and different, those first that leave
    most of it as it was. `alike` names words like a word, each one token with the space
    before it. None for texts that cannot be read, or are long."""
    try:
        ids = dict(zip(SIDES, (encoder.encode(clean), encoder.encode(corrupted)), strict=True))
    except TokenizerError:
        return ()
    if max(map(len, ids.values())) > _LONGEST:
        return ()
    pieces = SequenceMatcher(None, *ids.values(), autojunk=False).get_opcodes()
    uneven = [piece for piece in pieces if piece[2] - piece[1] != piece[4] - piece[3]]
    found: dict[tuple[str, str], tuple[int, Repair]] = {}
    for side in reversed(SIDES):  # of two that are as short, the corrupted text is changed
        for says, changed, cost in _changes(side, ids, uneven, encoder, alike):
            text = text_of(changed, encoder)
            other = ids["corrupted" if side == "clean" else "clean"]
            if text and len(changed) == len(other) and changed != other:
                found.setdefault((side, text), (cost, Repair(says, {side: text})))
    ranked = sorted(found.values(), key=lambda of: of[0])
    return tuple(repair for _, repair in ranked[:most])


def _changes(side: str, ids: dict, uneven: list, encoder: Encoder, alike) -> Iterable[tuple]:
    """What may be done to one text: in words, its tokens then, and how many tokens that touches."""
    own, other = (ids[of] for of in (SIDES if side == "clean" else SIDES[::-1]))
    spans = [_span(piece, side) for piece in uneven]

    def said(tokens: Sequence[int]) -> str:
        return visible(encoder.decode(list(tokens)))

    def put(*into: tuple[int, int, Sequence[int]]) -> list[int]:
        """The text with other tokens in the place of some."""
        changed = list(own)
        for start, end, tokens in sorted(into, reverse=True):
            changed[start:end] = tokens
        return changed

    def like(tokens: Sequence[int]) -> list[list[int]]:
        """Words like a word that is one token."""
        words = [*alike(encoder.decode(tokens))][:_WORDS] if len(tokens) == 1 else ()
        return [encoder.encode(word) for word in words]

    for at in range(len(own)) if own == other else ():
        for new in like(own[at : at + 1])[:1]:
            yield f"{side}: {said(own[at : at + 1])} → {said(new)}", put((at, at + 1, new)), 1
    for (a, b), (c, d) in spans:
        mine, theirs = own[a:b], other[c:d]
        if mine and theirs:
            for new in like(theirs):
                yield f"{side}: {said(mine)} → {said(new)}", put((a, b, new)), 1
        if len(mine) > len(theirs):
            for kept in (mine[: len(theirs)], mine[len(mine) - len(theirs) :]):
                says = (
                    f"{side}: {said(mine)} → {said(kept)}" if kept else f"{side}: drop {said(mine)}"
                )
                yield says, put((a, b, kept)), len(mine) - len(kept)
        if not mine:
            before = f" after {said(own[a - 1 : a])}" if a else ""
            for new in (theirs, *like(theirs)):
                yield f"{side}: add {said(new)}{before}", put((a, b, new)), len(new)
    if len(spans) > 1:
        fitted = [_of_length(own[a:b], other[c:d]) for (a, b), (c, d) in spans]
        into = [(*at, tokens) for (at, _), tokens in zip(spans, fitted, strict=True)]
        touched = sum(abs(b - a - len(tokens)) for a, b, tokens in into)
        yield f"{side}: as long as the other text in {len(into)} places", put(*into), touched


def _of_length(mine: list[int], theirs: list[int]) -> list[int]:
    """A piece cut, or filled up, to the length of the other one."""
    return mine[: len(theirs)] + theirs[len(mine) :]


def _span(piece: tuple, side: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a piece is in a text, and in the other one."""
    _, a, b, c, d = piece
    return ((a, b), (c, d)) if side == "clean" else ((c, d), (a, b))
