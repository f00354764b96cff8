"""What came out as HTML: tables of numbers, and sentences above and below them."""

import json
from collections.abc import Callable
from dataclasses import asdict
from html import escape

from core.many.grades import Interval, ManyGrades
from core.presets import Preset
from core.question.experiment import SIDES
from core.question.metrics import METRICS, SMALLEST_DIFFERENCE
from core.question.tokens import Token
from core.reading.trace import Trace
from core.result import Grade, Moved, Ranked, Result
from core.teaching.growth import Grown, since
from core.teaching.history import Checkpoint
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
from pages.parts import chips


def about(result: Result) -> str:
    """Which result this is, in two lines."""
    experiment = result.experiment
    texts = f"“{experiment.clean}” / “{experiment.corrupted}”"
    return (
        f'<div class="pb-about"><div>{escape(result.model.name)} · {escape(summary(result))}</div>'
        f"<div><bdi>{escape(texts)}</bdi></div></div>"
    )


def reading(result: Result, example: Preset | None) -> str:
    """Above a map: what an example asks and what the map says to it; else what its colours mean."""
    said = nothing_moves(result) or where_it_is(result)
    if said is None:
        return f'<div class="pb-reading">{escape(colours_mean(result))}</div>'
    asks = f"<b>{escape(example.asks)}</b> " if example else ""
    towards = f" Blue: towards the {result.other} run." if result.other else ""
    return f'<div class="pb-reading">{asks}{escape(said + towards)}</div>'


def baselines(result: Result) -> str:
    """What the two runs say unpatched."""
    rows = "".join(
        f"<tr><th><bdi>{escape(formula(result, metric))}</bdi></th>"
        + "".join(f"<td>{escape(number(metric, result.plain(metric, run)))}</td>" for run in SIDES)
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
            "token": f'<td class="pb-word">{chips.token(row.token)}</td>',
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


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if abs(whole) >= SMALLEST_DIFFERENCE else "no effect"


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
