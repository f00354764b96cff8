"""What a tokenizer makes of pairs: token ids, and the columns of the map they share.

What makes one pair unusable is said as it is said of an experiment (`core.question`). It does not
know the network's weights.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby

from core.errors import UserError
from core.many.marks import Span
from core.many.pairs import Dropped, Pair
from core.question.experiment import CONTENDERS, SIDES, Experiment
from core.question.pair import check_alignment, check_contenders
from core.question.tokens import Token, single_token, token, tokenize
from mingpt.bpe import Encoder

LAST = "last position"
REST = ("the rest before", "the rest between", "the rest after")
# Which tokens a role of several stands for.
REDUCES = {"last": "its last token", "mean": "the mean of its tokens", "first": "its first token"}

Columns = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Fitted:
    """A pair as tokens that a model reads: T of each text, and those that compete to come next.

    `columns` are the columns of its map, each with the positions it reads: the roles in reading
    order and then `last position`; of a pair without roles all T positions, "0" and on.
    """

    pair: Pair
    clean: tuple[int, ...]
    corrupted: tuple[int, ...]
    target: tuple[int, ...]
    foil: tuple[int, ...]
    columns: Columns

    @property
    def has_roles(self) -> bool:
        return self.columns[-1][0] == LAST

    @property
    def roles(self) -> tuple[str, ...]:
        """The names of its roles, in reading order."""
        names = [name for name, _ in self.columns if name not in (LAST, *REST)]
        return tuple(names) if self.has_roles else ()


def alone(pair: Fitted, asked: Experiment, encoder: Encoder) -> Experiment:
    """The experiment `asked`, of this pair by itself; of several targets or foils the first."""
    (target, foil) = (token(ids[0], encoder).text for ids in (pair.target, pair.foil))
    of = pair.pair
    return replace(asked, clean=of.clean, corrupted=of.corrupted, target=target, foil=foil)


def fit(
    pairs: Iterable[Pair],
    encoder: Encoder,
    block_size: int,
    bos: bool = False,
    reduce: str = "last",
    rest: bool = False,
) -> tuple[list[Fitted], list[Dropped]]:
    """The pairs as a model reads them that takes `block_size` tokens, and those it cannot use.

    `reduce` is one of REDUCES. With `rest`, the tokens before the first role, between roles and
    after the last one (but for the last position) are columns too, where there are any.
    """
    if reduce not in REDUCES:
        raise UserError(f"There is no {reduce!r} of a role: choose {', '.join(REDUCES)}.", "roles")
    fitted, dropped = [], []
    for pair in pairs:
        try:
            fitted.append(_fit(pair, encoder, block_size, bos, reduce, rest))
        except UserError as error:
            dropped.append(Dropped(pair.line, pair.id, str(error)))
    return fitted, dropped


def shared_columns(
    fitted: Sequence[Fitted],
) -> tuple[tuple[str, ...], list[Fitted], list[Dropped]]:
    """The columns of one map for pairs: their names, the pairs that have them, with these columns
    in this order, and the others.

    Where at least half of the pairs have roles, the columns are the roles that most of those have,
    in their mean reading order, and of REST those that every one has. Else they are the
    positions; raises UserError where the pairs are not all of one length, and where there are none.
    """
    if not fitted:
        raise UserError("No pair is left that this model can use.", "file")
    roled = [pair for pair in fitted if pair.has_roles]
    if 2 * len(roled) < len(fitted):
        lengths = Counter(len(pair.clean) for pair in fitted if not pair.has_roles)
        if len(lengths) > 1:
            listed = ", ".join(f"{T} tokens ({n:,})" for T, n in sorted(lengths.items()))
            raise UserError(
                "Pairs without roles must all have the same number of tokens to share a map by"
                f" position, but they have {listed}. Mark what corresponds by roles, as in"
                " [S1:John], or keep the pairs of one length.",
                "file",
            )
        kept = [pair for pair in fitted if not pair.has_roles]
        asked = "no roles"
    else:
        (roles, _), *_ = Counter(frozenset(pair.roles) for pair in roled).most_common(1)
        kept = [pair for pair in roled if frozenset(pair.roles) == roles]
        asked = f"the roles {_listed(kept[0].roles)}"
    names = _in_order(kept)
    left_out = [
        Dropped(
            pair.pair.line,
            pair.pair.id,
            f"The pair has {f'the roles {_listed(pair.roles)}' if pair.roles else 'no roles'}, and"
            f" most have {asked}: one map needs the same.",
        )
        for pair in _others(fitted, kept)
    ]
    arranged = []
    for pair in kept:
        positions = dict(pair.columns)
        arranged.append(replace(pair, columns=tuple((name, positions[name]) for name in names)))
    return names, arranged, left_out


def commonest_tokens(shared: Sequence[Fitted]) -> tuple[tuple[int, int], ...]:
    """For each column of pairs that share them, the token most of the clean texts have there (the
    last, where a column reads several), and how many have it."""
    of_columns = zip(*(pair.columns for pair in shared), strict=True)
    read = (
        Counter(pair.clean[at[-1]] for pair, (_, at) in zip(shared, column, strict=True))
        for column in of_columns
    )
    return tuple(counted.most_common(1)[0] for counted in read)


def _others(fitted: Sequence[Fitted], kept: Sequence[Fitted]) -> list[Fitted]:
    taken = {id(pair) for pair in kept}
    return [pair for pair in fitted if id(pair) not in taken]


def _in_order(kept: Sequence[Fitted]) -> tuple[str, ...]:
    """The columns that all of some pairs have, in the mean order of reading."""
    ranks: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for pair in kept:
        for rank, (name, _) in enumerate(pair.columns):
            ranks[name] += rank
            found[name] += 1
    common = [name for name, count in found.items() if count == len(kept)]
    return tuple(sorted(common, key=lambda name: (name == LAST, ranks[name])))


def _fit(pair: Pair, encoder: Encoder, most: int, bos: bool, reduce: str, rest: bool) -> Fitted:
    clean, corrupted = (
        tokenize(getattr(pair, side), encoder, most=most, field=side, bos=bos) for side in SIDES
    )
    check_alignment(clean, corrupted)
    target, foil = (_contenders(pair, field, encoder) for field in CONTENDERS)
    if len(target) == len(foil) == 1:
        check_contenders(*target, *foil)
    elif both := set(target) & set(foil):
        raise UserError(f"Target and foil both hold {both.pop().label}: take it out of one.")
    columns = _columns(_named(pair, clean, corrupted, encoder, bos), len(clean), bos, reduce, rest)
    ids = (tuple(token.id for token in tokens) for tokens in (clean, corrupted, target, foil))
    return Fitted(pair, *ids, columns)


def _contenders(pair: Pair, field: str, encoder: Encoder) -> tuple[Token, ...]:
    ids = getattr(pair, f"{field}_ids")
    for id in ids:
        if id not in encoder.decoder:
            raise UserError(
                f"The {field} is token {id}, and this tokenizer has the tokens 0 to"
                f" {max(encoder.decoder):,}: is the file for another model?"
            )
    texts = getattr(pair, field)
    tokens = [token(id, encoder) for id in ids]
    tokens += [single_token(text, encoder, field=field) for text in texts]
    (commonest, count), *_ = Counter(tokens).most_common(1)
    if count > 1:
        raise UserError(f"The {field} holds {commonest.label} {count} times: once is enough.")
    return tuple(tokens)


def _named(
    pair: Pair,
    clean: tuple[Token, ...],
    corrupted: tuple[Token, ...],
    encoder: Encoder,
    bos: bool,
) -> dict[str, tuple[int, ...]]:
    """The roles of a pair, each with its positions."""
    if pair.clean_roles or pair.corrupted_roles:
        named = _covered(pair.clean, pair.clean_roles, clean, encoder, bos)
        there = _covered(pair.corrupted, pair.corrupted_roles, corrupted, encoder, bos)
        if named.keys() != there.keys():
            raise UserError(
                f"The roles of the two texts differ: clean {_listed(named)}, corrupted"
                f" {_listed(there)}."
            )
        for role, positions in named.items():
            if positions != there[role]:
                raise UserError(
                    f"The role {role} is at {_at(positions)} in the clean text and at"
                    f" {_at(there[role])} in the corrupted one: it must be at the same."
                )
    else:
        named = _labelled(pair, len(clean) - bos, int(bos))
    for role in named:
        if role in (LAST, *REST):
            raise UserError(f"A role cannot be called {role}, as a column is: rename it.")
    return named


def _covered(
    text: str, spans: Sequence[Span], tokens: tuple[Token, ...], encoder: Encoder, bos: bool
) -> dict[str, tuple[int, ...]]:
    """The positions of the tokens that spans of a text cover in part or whole; white space at the
    ends of a span covers none."""
    ends = list(accumulate(len(encoder.token_bytes(token.id)) for token in tokens[bos:]))
    named: dict[str, tuple[int, ...]] = {}
    taken: dict[int, str] = {}
    for span in spans:
        marked = text[span.start : span.end]
        if not marked.strip():
            raise UserError(f"The role {span.name} marks nothing but white space.")
        begin = span.start + len(marked) - len(marked.lstrip())
        before = len(text[:begin].encode())
        after = before + len(marked.strip().encode())
        covered = range(bisect_right(ends, before), bisect_left(ends, after) + 1)
        named[span.name] = tuple(position + bos for position in covered)
        for position in named[span.name]:
            if position in taken:
                raise UserError(
                    f"The roles {taken[position]} and {span.name} share the token"
                    f" {tokens[position].label}: a token has one role."
                )
            taken[position] = span.name
    return named


def _labelled(pair: Pair, T: int, first: int) -> dict[str, tuple[int, ...]]:
    """The roles by `labels`, where there are any, else by `word_idxs`, for T tokens from position
    `first` on. Neighbours with one label are one role; a label that comes again is numbered."""
    if pair.labels and len(pair.labels) != T:
        raise UserError(f"There are {len(pair.labels)} labels for the {T} tokens of the texts.")
    named: dict[str, tuple[int, ...]] = {}
    times: Counter[str] = Counter()
    for label, run in groupby(range(len(pair.labels)), key=lambda i: pair.labels[i]):
        times[label] += 1
        if label:
            name = label if times[label] == 1 else f"{label} ({times[label]})"
            named[name] = tuple(i + first for i in run)
    if named:
        return named
    for name, index in pair.word_idxs:
        if not 0 <= index < T:
            raise UserError(f"{name} should be token {index}, and the texts have {T}, from 0 on.")
        named[name] = (index + first,)
    return named


def _columns(
    named: dict[str, tuple[int, ...]], T: int, first: int, reduce: str, rest: bool
) -> Columns:
    """The columns of a text of T tokens, whose own begin at position `first`."""
    if not named:
        return tuple((str(position), (position,)) for position in range(T))
    taken = {position for positions in named.values() for position in positions}
    if rest:
        untaken = [p for p in range(first, T - 1) if p not in taken]
        parts = (
            tuple(p for p in untaken if p < min(taken)),
            tuple(p for p in untaken if min(taken) < p < max(taken)),
            tuple(p for p in untaken if p > max(taken)),
        )
        named = named | {name: part for name, part in zip(REST, parts, strict=True) if part}
    which = {"last": slice(-1, None), "mean": slice(None), "first": slice(1)}[reduce]
    read = {name: positions[which] for name, positions in named.items()}
    in_order = sorted(read, key=lambda name: sum(named[name]) / len(named[name]))
    return (*((name, read[name]) for name in in_order), (LAST, (T - 1,)))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _at(positions: Sequence[int]) -> str:
    return f"position{'s' * (len(positions) > 1)} {', '.join(map(str, positions))}"
