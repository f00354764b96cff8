"""Small pieces of HTML for what markdown would garble: tokens, and messages that name tokens.

Pure functions from plain values to HTML; everything they are given is escaped, nothing that a
person types is ever markup.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from html import escape
from itertools import groupby
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from core.many.grades import Interval, ManyGrades
from core.presets import Preset
from core.question.experiment import Experiment
from core.question.metrics import METRICS, SMALLEST_DIFFERENCE
from core.question.tokens import Token
from core.reading.trace import Trace
from core.result import Grade, Moved, Ranked, Result, Written
from core.teaching.growth import Grown, since
from core.teaching.history import Checkpoint
from core.views import colours
from core.views.history import Asked
from core.views.sentences import came_about, nothing_moves, where_it_is
from core.views.set_sentences import listed, questions, share
from core.views.words import (
    by,
    colours_mean,
    formula,
    number,
    probability,
    replaced,
    summary,
    wording,
)

_HERE = Path(__file__).parent
# A text of more tokens is folded: these many stay beside those that differ.
_LONG = 16
_NEIGHBOURS = 2


def dress() -> None:
    """At the start of every run: how the page looks, and what it does in the browser by itself."""
    st.html(f"<style>:root {{ {colours.css_properties()} }}</style>")
    st.html(_HERE / "page.css")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def run(script: str) -> None:
    """Let the browser run a script of ours."""
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def show(markup: str, width: str = "stretch") -> None:
    """Draw HTML made by this module."""
    st.html(markup, width=width)


# What Streamlit turns into links, pictures, arrows and dashes even where markdown has been told to
# leave it alone, since it looks at the text that is left then.
_TURNED = re.compile(r"[@:]|www(?=\.)|[-<>~](?=[-=>])")


def label(name: str) -> str:
    """A name, whatever is in it, as a widget's label that is read as markdown: as it is, in one
    line. What would be turned into something else is parted by word joiners, which have no
    width."""
    line = re.sub(r"\s+", " ", name).strip()
    apart = _TURNED.sub("\\g<0>\u2060", line)
    return re.sub(r"[!-,:-@\[-`{-~]|^[-+]|(?<=^\d)\.|(?<=^\d\d)\.", r"\\\g<0>", apart)


def sentence(says: str) -> str:
    """Words with blanks between them as a widget's label: each as it is."""
    return " ".join(map(label, says.split(" ")))


def title(question: str) -> str:
    """What a page asks, and a button that copies its address (page.js)."""
    return (
        f'<div class="pb-title"><h2>{escape(question)}</h2>'
        '<button class="pb-copy" title="The address holds all that is on this page">Copy link'
        "</button></div>"
    )


def token(token: Token, kind: str = "") -> str:
    """One token as a chip with its id on hover; `kind` colours it as "clean" or "corrupted"."""
    return (
        f'<bdi class="pb-token {f"pb-{kind}" if kind else ""}" title="token id {token.id}">'
        f"{escape(token.label)}</bdi>"
    )


def written(new: tuple[Written, ...]) -> str:
    """Tokens that a run has written, each with how probable it was on hover."""
    chips = "".join(
        f'<bdi class="pb-token" title="token id {w.token.id}, {escape(probability(w.prob))}">'
        f"{escape(w.token.label)}</bdi>"
        for w in new
    )
    return f'<div class="pb-ribbon">{chips}</div>'


def chips(tokens: tuple[Token, ...]) -> str:
    return '<div class="pb-ribbon">' + "".join(map(token, tokens)) + "</div>"


def problem(message: str) -> str:
    return f'<div class="pb-note pb-problem" role="alert">{escape(message)}</div>'


def note(message: str) -> str:
    return f'<div class="pb-note" role="status">{escape(message)}</div>'


def doubt(says: str, why: str = "") -> str:
    """What is doubtful about a result, in the words of `core.views.doubts`."""
    more = f"<div>{escape(why)}</div>" if why else ""
    return f'<div class="pb-note pb-doubt" role="note">{escape(says)}{more}</div>'


def text(says: str) -> str:
    """A paragraph, as it is."""
    return f"<div>{escape(says)}</div>"


def task(kind: str, title: str, asks: str, number: int | None = None) -> str:
    """What is to be done, and what kind of thing that is; by its number the browser sees that it
    is another (page.js)."""
    kind = f'<div class="pb-caption">{escape(kind)}</div>' if kind else ""
    which = "" if number is None else f' data-number="{number}"'
    return (
        f'<div class="pb-task"{which}>{kind}<h3>{escape(title)}</h3><div>{escape(asks)}</div></div>'
    )


def caption(says: str) -> str:
    """What stands below a figure, smaller."""
    return f'<div class="pb-caption">{escape(says)}</div>'


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


def reading(result: Result, example: Preset | None) -> str:
    """Above a map: what an example asks and what the map says to it; else what its colours mean."""
    said = nothing_moves(result) or where_it_is(result)
    if said is None:
        return f'<div class="pb-reading">{escape(colours_mean(result))}</div>'
    asks = f"<b>{escape(example.asks)}</b> " if example else ""
    towards = f" Blue: towards the {result.other} run." if result.other else ""
    return f'<div class="pb-reading">{asks}{escape(said + towards)}</div>'


def asked(experiment: Experiment) -> str:
    """Which experiment stands in the inputs, and what the browser shows while the rest of the page
    is of another (page.js)."""
    return (
        f'<div class="pb-asked" data-experiment="{_attribute(experiment)}">'
        '<span class="pb-former-says">of your former texts</span></div>'
    )


def hold() -> str:
    """Nothing to see, that keeps a container from being empty (page.css)."""
    return '<div class="pb-hold"></div>'


def answered(experiment: Experiment) -> str:
    """Which experiment all that the page shows is of, to be held against the inputs."""
    return f'<div class="pb-answered" data-experiment="{_attribute(experiment)}"></div>'


def _attribute(experiment: Experiment) -> str:
    """As a link writes it: of an attribute the browser drops the spaces at both ends."""
    return escape(urlencode(experiment.to_query()))


def baselines(result: Result) -> str:
    """What the two runs say unpatched."""
    rows = "".join(
        f"<tr><th><bdi>{escape(formula(result, metric))}</bdi></th>"
        + "".join(
            f"<td>{escape(number(metric, result.plain(metric, run)))}</td>"
            for run in ("clean", "corrupted")
        )
        + "</tr>"
        for metric in ("logit_diff", "target_prob", "foil_prob")
    )
    return (
        '<div class="pb-scroll"><table class="pb-table">'
        f"<tr><th>before any patch</th><th>clean run</th><th>corrupted run</th></tr>{rows}"
        "</table></div>"
    )


def cell(result: Result, row: int, column: int) -> str:
    """One cell in a sentence: what was put in, and what that did."""
    effects = [
        f"{METRICS[metric].title.lower().replace('kl', 'KL')} from"
        f" {escape(number(metric, result.plain(metric)))}"
        f" to <b>{escape(number(metric, grid[row, column]))}</b>"
        for metric, grid in result.grids.items()
    ]
    return (
        f'<div class="pb-note">With {escape(replaced(result, row, column))} replaced by'
        f" {by(result)}: {', '.join(effects)}.</div>"
    )


def growth(grown: dict[str, dict[Checkpoint, Grown]], at: Checkpoint) -> str:
    """What a model could do along the training run of which `at` is a moment: of every behaviour
    the share of pairs it answers right, a bar for each checkpoint, and where in the model that
    first came about."""
    rows = ""
    for name, checkpoints in grown.items():
        of_seed = {moment.step: g for moment, g in checkpoints.items() if moment.seed == at.seed}
        bars = "".join(
            f'<i class="{"pb-now" * (step == at.step)}" style="--high: {g.beats_all:.0%}"'
            f' title="step {step:,}: {g.beats_all:.0%} right"></i>'
            for step, g in of_seed.items()
        )
        first = since(of_seed)
        where = (
            "not yet"
            if first is None
            else f"step {first:,}: {came_about(of_seed[first].at_last, of_seed[first].head)}"
        )
        rows += (
            f'<tr><th>{escape(name)}<div class="pb-where">{escape(where)}</div></th>'
            f'<td class="pb-steps">{bars}</td><td>{of_seed[at.step].beats_all:.0%}</td></tr>'
        )
    return (
        '<table class="pb-table pb-growth"><tr><th>right on held-out pairs, and where it came'
        f" about</th><th>by step</th><th>at {at.step:,}</th></tr>{rows}</table>"
    )


def asked_before(of: Asked, when: str) -> str:
    """A question of the history, with its picture."""
    picture = f'<img src="{escape(of.picture)}" alt="">' if of.picture else ""
    return (
        f'<div class="pb-before"><div class="pb-thumbnail">{picture}</div><div>'
        f"<b><bdi>{escape(of.title)}</bdi></b><br><bdi>{escape(of.about)}</bdi>"
        f'<div class="pb-caption">{escape(when)}</div></div></div>'
    )


def counted(words: int, least: int, most: int) -> str:
    """How many words there are of those that are asked for, as a number and a bar."""
    share = min(1.0, words / max(1, most))
    kind = "" if least <= words <= most else "pb-not-yet"
    return (
        f'<div class="pb-words {kind}"><b>{words:,}</b> words of your own, of {least:,} to'
        f' {most:,}<div><i style="width: {share:.1%}"></i>'
        f'<u style="left: {min(1.0, least / max(1, most)):.1%}"></u></div></div>'
    )


def items(says: list[str]) -> str:
    """Sentences as a list."""
    return f'<ul class="pb-items">{"".join(f"<li>{escape(one)}</li>" for one in says)}</ul>'


def long_caption(lines: list[list[tuple[str, bool]]]) -> str:
    """A caption of several lines, some pieces of them marked."""
    told = (
        " ".join(f"<b>{escape(text)}</b>" if marked else escape(text) for text, marked in line)
        for line in lines
    )
    return f'<div class="pb-caption">{"<br>".join(told)}</div>'


def facts(rows: dict[str, str]) -> str:
    """What is known of something, each as a name and what it is."""
    body = "".join(
        f"<tr><th>{escape(name)}</th><td><bdi>{escape(what)}</bdi></td></tr>"
        for name, what in rows.items()
        if what
    )
    return f'<table class="pb-table pb-facts">{body}</table>'


def about(result: Result) -> str:
    """Which result this is, in two lines."""
    experiment = result.experiment
    texts = f"“{experiment.clean}” / “{experiment.corrupted}”"
    return (
        f'<div class="pb-about"><div>{escape(result.model.name)} · {escape(summary(result))}</div>'
        f"<div><bdi>{escape(texts)}</bdi></div></div>"
    )


def next_tokens(
    rows: tuple[Ranked, ...],
    run: str,
    target: Token,
    foil: Token,
    can_be_typed: Callable[[Token], bool],
    moves: tuple[Moved, ...] = (),
) -> str:
    """The likeliest next tokens of the "clean", "corrupted" or "patched" run as a table, with
    `moves` also by how many places each rose and where the plain runs have it. Those of target and
    foil that are further down come last. Every other token can be made one of them, if it can be
    typed: by buttons that `data-field` and `data-text` tell what to put where."""
    heads = {"rank": "", "id": "pb-id", "token": "pb-word", "logit": "pb-logit", "prob.": ""}
    if moves:
        heads = {"rank": "", "risen": "", "clean": "", "corr.": ""} | heads
    heads["use as"] = ""
    named = {target.id: ("target", "pb-clean"), foil.id: ("foil", "pb-corrupted")}
    body = ""
    for i, row in enumerate(rows):
        name, kind = named.get(row.token.id, ("", ""))
        cells = {
            "rank": f"<td>{row.rank:,}</td>",
            "id": f'<td class="pb-id">{row.token.id}</td>',
            "token": f'<td class="pb-word">{token(row.token)}</td>',
            "logit": f'<td class="pb-logit">{row.logit:z.4f}</td>',
            "prob.": f'<td class="pb-bar pb-{run}" style="--bar: {row.prob:.1%}">'
            f"{escape(probability(row.prob))}</td>",
            "use as": f"<td>{name or _fill_in(row.token, can_be_typed)}</td>",
        }
        if moves:
            move = moves[i]
            moved = (f"{move.risen:+,}", f"{move.clean_rank:,}", f"{move.corrupted_rank:,}")
            places = zip(("risen", "clean", "corr."), moved, strict=True)
            cells |= {head: f"<td>{value}</td>" for head, value in places}
        kind += " pb-further" * (row.rank > i + 1 and rows[i - 1].rank == i)
        body += f'<tr class="{kind}">{"".join(cells[head] for head in heads)}</tr>'
    titles = "".join(f'<th class="{kind}">{head}</th>' for head, kind in heads.items())
    return (
        f'<div class="pb-scroll"><table class="pb-table pb-dense{" pb-moved" * bool(moves)}">'
        f"<tr>{titles}</tr>{body}</table></div>"
    )


def _fill_in(token: Token, can_be_typed: Callable[[Token], bool]) -> str:
    """Two buttons that put a token into the field of the target or of the foil. Its text is a JSON
    string: of an attribute the browser's sanitizer takes the spaces at its ends, and drops one in
    which it sees the end of a comment or an element. A field of one line holds no line break."""
    if set("\r\n") & set(token.text) or not can_be_typed(token):
        return ""
    json_text = json.dumps(token.text, ensure_ascii=False).replace("<", "\\u003c")
    text, label = escape(json_text.replace(">", "\\u003e")), escape(token.label)
    return "".join(
        f'<button type="button" class="pb-fill" data-field="{field}" data-text="{text}"'
        f' title="Make {label} the {field}" aria-label="Make {label} the {field}">{letter}</button>'
        for letter, field in (("T", "target"), ("F", "foil"))
    )


def parts_of(trace: Trace) -> str:
    """What a patched layer's output was the sum of, each part patched alone."""
    effect = trace.patched - trace.base
    names = {
        "resid_pre": "the stream before",
        "attn_out": "attention",
        "mlp_out": "the MLP",
    }
    rows = [("all of it", trace.patched)]
    rows += [(f"only {names[site]} ({site})", value) for site, value in trace.parts.items()]
    body = "".join(
        f"<tr><th>{name}</th><td>{value:z.4f}</td>"
        f"<td>{_share(value - trace.base, effect)}</td></tr>"
        for name, value in rows
    )
    return (
        '<div class="pb-scroll"><table class="pb-table"><tr><th>put in here</th>'
        f"<th>logit diff.</th><th>effect</th></tr>{body}</table></div>"
    )


def grades(grade: Grade) -> str:
    """What came out for a set: the metric, and its share as a bar."""
    body = "".join(
        f"<tr><th>{escape(name)}<div class='pb-where'>{escape(what)}</div></th>"
        f"<td>{escape(value)}</td>{_bar(share)}</tr>"
        for name, (value, share, what) in listed(grade).items()
    )
    metric = escape(wording(grade))
    ends = " · ".join(
        f"{run} run {escape(number(grade.experiment.metric, value))}"
        for run, value in asdict(grade.baseline).items()
    )
    return (
        f'<table class="pb-table pb-growth pb-grades"><tr><th>{ends}</th><th>{metric}</th>'
        f"<th>share</th></tr>{body}</table>"
    )


def many_grades(found: ManyGrades) -> str:
    """The same over many pairs, with intervals."""
    metric, asked = found.experiment.metric, questions(found)

    def interval(of: Interval | None, said: Callable[[float], str]) -> tuple[str, str]:
        if of is None:
            return "none", ""
        return said(
            of.mean
        ), f"<div class='pb-where'>{escape(f'{said(of.low)} to {said(of.high)}')}</div>"

    body = ""
    for name, of in found.values.items():
        value, within = interval(of, lambda x: number(metric, x))
        of_share, share_within = interval(found.shares[name], share)
        body += (
            f"<tr><th>{escape(name)}<div class='pb-where'>{escape(asked[name])}</div></th>"
            f"<td>{escape(value)}{within}</td>{_bar(of_share, share_within)}</tr>"
        )
    return (
        '<table class="pb-table pb-growth pb-grades"><tr><th>mean over pairs, and its interval</th>'
        f"<th>{escape(wording(found))}</th><th>share</th></tr>{body}</table>"
    )


def _bar(share: str, more: str = "") -> str:
    width = "0%" if share == "none" else share
    return (
        f'<td class="pb-bar pb-patched" style="--bar: clamp(0%, {escape(width)}, 100%)">'
        f"{escape(share)}{more}</td>"
    )


def signed_by(target: Token, foil: Token) -> str:
    """Which way a logit difference points."""
    return (
        f"<div>Below 0 speaks for {token(target, 'clean')},"
        f" above 0 for {token(foil, 'corrupted')}.</div>"
    )


def columns(container: str, number: int) -> str:
    """How many columns the chart in a container has, whose key begins with "wide_" (page.css)."""
    return f"<style>.st-key-{container} {{ --columns: {number}; }}</style>"


def tokens_at(clean: Token, corrupted: Token, position: int) -> str:
    """The tokens of both texts at a position."""
    sides = (token(clean, "clean"), token(corrupted, "corrupted"))
    return f"<div>Position {position}: {' '.join(sides)}</div>"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if abs(whole) >= SMALLEST_DIFFERENCE else "no effect"


def _piece(tokens: tuple[Token, ...]) -> str:
    return "".join(f"<bdi>{escape(token.label)}</bdi>" for token in tokens)


def _id(tokens: tuple[Token, ...]) -> str:
    return "".join(str(token.id) for token in tokens) or "none"
