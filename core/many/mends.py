"""What is seldom meant in a file of pairs, and what would mend it.

None of it is wrong: such pairs are used as they are until a person says otherwise.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from core.errors import UserError
from core.many.fitting import Fitted
from core.many.pairs import Dropped, Pair, counted
from core.question.tokens import with_leading_space
from mingpt.bpe import Encoder

_LINES = 4  # that are named
_LENGTHS = 6


@dataclass(frozen=True)
class Mend:
    """What is seldom meant, and in how many pairs; what a button that mends it says; and the pairs
    and the rows that are not used once it is mended."""

    says: str
    fix: str
    pairs: list[Pair]
    dropped: list[Dropped]


def cautions(pairs: Sequence[Pair], dropped: Sequence[Dropped], encoder: Encoder) -> list[Mend]:
    """What is seldom meant in the pairs of a file, of which `dropped` are the rows that are none,
    for a tokenizer."""
    found = _without_space(pairs, encoder), _twice(pairs)
    return [replace(mend, dropped=[*dropped, *mend.dropped]) for mend in found if mend]


class UnlikeLengths(UserError):
    """Pairs without roles share no map, since they are of several lengths. `mends` are to keep
    those of one length, the commonest first."""

    def __init__(self, pairs: Sequence[Pair], dropped: Sequence[Dropped], fitted: Sequence[Fitted]):
        by_length = _by_length(fitted)
        super().__init__(
            "Pairs without roles share a map by position, and so must all have the same number of"
            f" tokens. These have {_lengths_said(by_length)}. Mark what corresponds by roles, as in"
            " [S1:John], or keep one length.",
            "file",
        )
        self.mends = [
            Mend(
                "",
                f"Keep the {counted(len(of), 'pair')} of {length} tokens",
                *of_length(pairs, dropped, fitted, length),
            )
            for length, of in list(by_length.items())[:3]
        ]


def of_length(
    pairs: Sequence[Pair], dropped: Sequence[Dropped], fitted: Sequence[Fitted], length: int
) -> tuple[list[Pair], list[Dropped]]:
    """The pairs without those that have, as `fitted`, roles or another number of tokens, and the
    rows that are not used then. Raises UserError where none is left of that length."""
    by_length = _by_length(fitted)
    if length not in by_length:
        raise UserError(
            f"No pair without roles has {length} tokens: there are"
            f" {_lengths_said(by_length) or 'none'}.",
            "length",
        )
    kept = {pair.pair.id for pair in by_length[length]}
    others = {pair.pair.id: pair for pair in fitted if pair.pair.id not in kept}
    more = [
        Dropped(
            pair.line,
            pair.id,
            f"The pair has {'roles' if of.has_roles else f'{len(of.clean)} tokens'}, and only those"
            f" of {length} tokens without roles are kept.",
        )
        for pair in pairs
        if (of := others.get(pair.id))
    ]
    return [pair for pair in pairs if pair.id not in others], [*dropped, *more]


def _by_length(fitted: Sequence[Fitted]) -> dict[int, list[Fitted]]:
    """The pairs without roles by their number of tokens, the commonest first."""
    found: defaultdict[int, list[Fitted]] = defaultdict(list)
    for pair in fitted:
        if not pair.has_roles:
            found[len(pair.clean)].append(pair)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _lengths_said(by_length: dict[int, list[Fitted]]) -> str:
    said = [
        f"{length} tokens: {counted(len(of), 'pair')} ({_lines([pair.pair.line for pair in of])})"
        for length, of in list(by_length.items())[:_LENGTHS]
    ]
    if len(by_length) > _LENGTHS:
        said.append(f"and {counted(len(by_length) - _LENGTHS, 'other length')}")
    return "; ".join(said)


def _without_space(pairs: Sequence[Pair], encoder: Encoder) -> Mend | None:
    """Targets and foils that are words, stand after a text that ends in one, and lack its space."""
    spaced = cache(lambda text: with_leading_space(text, encoder))

    def mended(text: str, after: str) -> str:
        is_word = text[:1].isalpha() and (after[-1:].isalnum() or after[-1:] in (*".,;:!?",))
        return spaced(text) or text if is_word else text

    found, lines, example = [], [], ""
    for pair in pairs:
        words = {
            field: tuple(mended(text, pair.clean) for text in getattr(pair, field))
            for field in ("target", "foil")
        }
        if words == {"target": pair.target, "foil": pair.foil}:
            found.append(pair)
        else:
            better = replace(pair, **words)
            found.append(better)
            lines.append(pair.line)
            both = zip(pair.target + pair.foil, better.target + better.foil, strict=True)
            example = example or next(f"“{old}” for “{new}”" for old, new in both if old != new)
    if not lines:
        return None
    return Mend(
        f"In {counted(len(lines), 'pair')} ({_lines(lines)}) a target or foil has no space before"
        f" it, such as {example}. Within a text a word’s token begins with its space; without it"
        " the token is another, which the model hardly expects there.",
        "Put the space before them",
        found,
        [],
    )


def _twice(pairs: Sequence[Pair]) -> Mend | None:
    """Pairs that are there before, whatever their ids, groups and roles."""
    first: dict[tuple, Pair] = {}
    kept, again, example = [], [], ""
    for pair in pairs:
        words = pair.target, pair.foil, pair.target_ids, pair.foil_ids
        before = first.setdefault((pair.clean, pair.corrupted, *words), pair)
        if before is pair:
            kept.append(pair)
        else:
            reason = f"The pair is on line {before.line:,} already, and is counted once."
            again.append(Dropped(pair.line, pair.id, reason))
            example = example or f"line {pair.line:,} those of line {before.line:,}"
    if not again:
        return None
    return Mend(
        f"{counted(len(again), 'pair')} ({_lines([row.line for row in again])})"
        f" {'repeats' if len(again) == 1 else 'repeat'} the texts and words of one before:"
        f" {example}. Each counts again, and intervals come out too narrow.",
        "Count each once",
        kept,
        again,
    )


def _lines(lines: Sequence[int]) -> str:
    """ "line 3", or "lines 3, 5, 6, 9 …"."""
    said = ", ".join(f"{line:,}" for line in lines[:_LINES])
    return f"line{'s' * (len(lines) > 1)} {said}{' …' * (len(lines) > _LINES)}"
