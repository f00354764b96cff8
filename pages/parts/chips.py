"""Tokens and texts as HTML: chips, texts position under position."""

from html import escape
from itertools import groupby

from core.question.tokens import Token
from core.result import Ranked, Written
from core.views.words import probability

# A text of more tokens is folded: these many stay beside those that differ.
_LONG = 16
_NEIGHBOURS = 2


def token(token: Token, kind: str = "") -> str:
    """One token as a chip with its id on hover; `kind` colours it as "clean" or "corrupted"."""
    return (
        f'<bdi class="pb-token {f"pb-{kind}" if kind else ""}" title="token id {token.id}">'
        f"{escape(token.label)}</bdi>"
    )


def row(tokens: tuple[Token, ...]) -> str:
    """Tokens one after the other, as chips."""
    return '<div class="pb-ribbon">' + "".join(map(token, tokens)) + "</div>"


def tokens_at(clean: Token, corrupted: Token, position: int) -> str:
    """The tokens of both texts at a position."""
    sides = (token(clean, "clean"), token(corrupted, "corrupted"))
    return f"<div>Position {position}: {' '.join(sides)}</div>"


def signed_by(target: Token, foil: Token) -> str:
    """Which way a logit difference points."""
    return (
        f"<div>Below 0 speaks for {token(target, 'clean')},"
        f" above 0 for {token(foil, 'corrupted')}.</div>"
    )


def written(new: tuple[Written, ...]) -> str:
    """Tokens that a run has written, each with how probable it was on hover."""
    chips = "".join(
        f'<bdi class="pb-token" title="token id {w.token.id}, {escape(probability(w.prob))}">'
        f"{escape(w.token.label)}</bdi>"
        for w in new
    )
    return f'<div class="pb-ribbon">{chips}</div>'


def standing(rows: dict[str, Ranked]) -> str:
    """Where each plain run has a token that competes: its rank and its probability, to the digits
    that there is room for."""
    return "".join(
        f'<span class="pb-standing pb-{side}" title="{side} run: rank {row.rank:,}, probability'
        f' {escape(probability(row.prob))}">{row.rank:,}.'
        f" {escape(probability(row.prob) if row.prob >= 1e-4 else '<0.01%')}</span>"
        for side, row in rows.items()
    )


def ribbon(clean: tuple[Token, ...], corrupted: tuple[Token, ...], first: int | None = None) -> str:
    """Both texts, position under position; where they differ stands out. Of long texts what is
    alike is folded, but for the neighbours of what differs and the last token. A click on a place
    from the `first` one on puts its position into the field "swap_at" (page.js)."""
    length = max(len(clean), len(corrupted))
    pairs = [[tokens[p : p + 1] for tokens in (clean, corrupted)] for p in range(length)]
    differing = [p for p, (a, b) in enumerate(pairs) if [t.id for t in a] != [t.id for t in b]]
    around = range(-_NEIGHBOURS, 1 + _NEIGHBOURS)
    is_open = {length - 1} | {p + by for p in differing for by in around}
    can_swap = range(length if first is None else first, length)
    places = [_place(p, *pair, p in differing, p in can_swap) for p, pair in enumerate(pairs)]
    pieces = []
    for stays, run in groupby(range(length), lambda p: length <= _LONG or p in is_open):
        together = "".join(places[p] for p in run)
        pieces.append(together if stays else _folded(together))
    counts = (
        '<div class="pb-place pb-counts"><span class="pb-index">position</span>'
        f"<span>clean, <b>{len(clean)}</b> tokens</span>"
        f"<span>corrupted, <b>{len(corrupted)}</b></span></div>"
    )
    return f'<div class="pb-ribbon pb-texts">{counts}{"".join(pieces)}</div>'


def _place(
    position: int, a: tuple[Token, ...], b: tuple[Token, ...], differs: bool, can_swap: bool
) -> str:
    hover = f"position {position}: clean id {_id(a)}, corrupted id {_id(b)}"
    kind, element, data = f"pb-place{' pb-differs' * differs}", "div", ""
    if can_swap:
        kind, element = f"{kind} pb-fill", "button"
        hover += "; click for words to put here"
        data = f' type="button" data-field="swap_at" data-text="&quot;{position}&quot;"'
    return (
        f'<{element} class="{kind}" title="{hover}"{data}>'
        f'<span class="pb-index">{position}</span>'
        f'<span class="pb-clean">{_piece(a)}</span>'
        f'<span class="pb-corrupted">{_piece(b)}</span></{element}>'
    )


def _folded(places: str) -> str:
    return (
        '<details class="pb-fold"><summary title="The texts are alike here: click to see them">…'
        f'</summary><div class="pb-ribbon">{places}</div></details>'
    )


def _piece(tokens: tuple[Token, ...]) -> str:
    return "".join(f"<bdi>{escape(token.label)}</bdi>" for token in tokens)


def _id(tokens: tuple[Token, ...]) -> str:
    return "".join(str(token.id) for token in tokens) or "none"
