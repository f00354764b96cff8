"""Result -> text for a terminal; and so the answer of many pairs.

A table that is wider than the terminal goes on below, each part with the column of its layers.
"""

from collections.abc import Iterator, Sequence
from shutil import get_terminal_size

import numpy as np

from core.many.answer import Answer
from core.many.grades import Interval, ManyGrades
from core.many.summary import LEVEL
from core.output import printable
from core.question.metrics import METRICS
from core.result import Curve, Effect, Grade, PathMap, Ranked, Result
from core.views.many_sentences import says
from core.views.set_sentences import SHARE, grown, listed, many_caption, many_mean, means, questions
from core.views.words import averaged, number, probability, summary, width_of, wording

_LONGEST_PIECE = 12


def report(result: Result) -> str:
    """Everything `python -m core patch` prints."""
    metric = result.experiment.metric
    baseline = result.baselines[metric]
    seconds = ", ".join(
        f"{part.replace('_', ' ')} {_seconds(value)}"
        for part, value in result.seconds.items()
        if value
    )
    parts = [
        *(_top_table(f"After the {side} text", result.top[side]) for side in result.top),
        f"{METRICS[metric].title}: {wording(result)}",
        f"clean run {number(metric, baseline.clean)}, corrupted run"
        f" {number(metric, baseline.corrupted)}; {summary(result)}",
        _grid(result)
        if len(result.axes) == 2
        else "(by layer, head and position: --csv or --json)",
        f"{result.model.name} ({result.model.fingerprint})" + (seconds and f": {seconds}"),
    ]
    return "\n\n".join(parts)


def report_paths(path_map: PathMap) -> str:
    """Everything `python -m core paths` prints."""
    metric = path_map.experiment.metric
    baseline = path_map.baselines[metric]
    cells = [["layer", *path_map.columns]]
    for row, label in enumerate(path_map.rows):
        values = path_map.values[row]
        cells.append([label, *("" if v != v else f"{v:z.3f}" for v in values)])
    return "\n".join(
        [
            f"{METRICS[metric].title}: {wording(path_map)}",
            f"clean run {number(metric, baseline.clean)}, corrupted run"
            f" {number(metric, baseline.corrupted)}; {summary(path_map)}",
            "",
            *_table(list(zip(*cells, strict=True))),
            "",
            f"the embedding {number(metric, path_map.embedding[metric])};"
            f" {path_map.model.name} ({path_map.model.fingerprint})",
        ]
    )


def report_set(grade: Grade, curve: Curve) -> str:
    """Everything `python -m core set` prints."""
    metric = grade.experiment.metric

    def said(effect: Effect) -> str:
        share = "" if effect.share is None else f"{effect.share:z9.1%}"
        return f"{number(metric, effect.value):>12} {share}"

    lines = [
        f"S = {' '.join(grade.components)}",
        f"{METRICS[metric].title}: clean run {number(metric, grade.baseline.clean)}, corrupted run"
        f" {number(metric, grade.baseline.corrupted)}. {SHARE}",
        "",
        *(
            f"{name:>17} {value:>12} {share:>9}  {what}"
            for name, (value, share, what) in listed(grade).items()
        ),
        "",
        means(grade),
        "",
        f"  {grown(curve)}",
    ]
    without = dict(zip(grade.components, grade.without, strict=True))
    for name, effect in zip(curve.components, curve.effects[1:], strict=True):
        missed = f"   all but it {said(without[name]).strip()}" if name in without else ""
        lines.append(f"{name:>12} {said(effect)}{missed}")
    return "\n".join(lines)


def report_many_set(found: ManyGrades) -> str:
    """Everything `python -m core set --pairs` prints."""
    metric, asked = found.experiment.metric, questions(found)

    def said(of: Interval, name: str = "") -> str:
        mean, low, high = (number(name, x) if name else f"{x:z.1%}" for x in of)
        return f"{mean:>9} [{low}, {high}]"

    lines = [f"S = {' '.join(found.components)}", many_caption(found), ""]
    for name, of in found.values.items():
        if of is not None:
            share = found.shares[name]
            of_share = f"{said(share):>28}" if share else ""
            lines.append(f"{name:>12} {said(of, metric):>32} {of_share}  {asked[name]}")
    return "\n".join([*lines, "", many_mean(found), *_left_out(found)])


def report_many(answer: Answer) -> str:
    """Everything `python -m core many` prints: of each cell the mean and, below it, the interval. A
    star marks one that holds what a cell without effect shows."""
    s = answer.summary
    lines = [
        f"{averaged(answer)} over pairs, {answer.used}: {summary(answer)}, {answer.model.name}"
        f" ({answer.model.fingerprint})",
        f"unpatched: {s.clean:z.4f} on the clean texts, {s.corrupted:z.4f} on the corrupted ones",
        f"in brackets {LEVEL:.0%} intervals of a bootstrap over pairs; * where no effect is within",
        printable(says(answer)),
        "",
    ]
    if len(answer.axes) == 2:
        lines += _grid_with_intervals(answer)
    else:
        lines.append(f"(by {', '.join(answer.axes)}: --json or --out)")
    return "\n".join([*lines, *_left_out(answer)])


def _grid_with_intervals(answer: Answer) -> Iterator[str]:
    s = answer.summary
    cells = [["layer", *(_clip(printable(label), 16) for label in answer.columns)]]
    for row, label in enumerate(answer.rows):
        star = np.where(s.says_nothing[row], "*", "")
        means = (f"{m:z.3f}{n}" for m, n in zip(s.mean[row], star, strict=True))
        cells.append([label, *means])
        both = zip(s.low[row], s.high[row], strict=True)
        cells.append(["", *(f"[{low:z.3f}, {high:z.3f}]" for low, high in both)])
    yield from _table(list(zip(*cells, strict=True)))


def _left_out(answer: Answer | ManyGrades, most: int = 20) -> Iterator[str]:
    rows = answer.dropped
    if rows:
        yield f"\n{len(rows):,} left out:"
    for row in rows[:most]:
        yield f"  line {row.line:,} ({printable(_clip(row.id, 40))}): {printable(row.reason)}"
    if len(rows) > most:
        yield f"  and {len(rows) - most:,} more (--json names all)"


def _seconds(value: float) -> str:
    """Three significant digits."""
    return f"{float(f'{value:.3g}'):g} s"


def _top_table(title: str, top: tuple[Ranked, ...]) -> str:
    lines = [title, f"{'rank':>4}  {'id':>6}  {'logit':>9}  {'prob':>8}  token"]
    lines += [
        f"{row.rank:>4}  {row.token.id:>6}  {row.logit:>9.4f}  {probability(row.prob):>8}"
        f"  {row.token.label}"
        for row in top
    ]
    return "\n".join(lines)


def _grid(result: Result) -> str:
    """Layers down; positions, under both pieces where they differ, or heads across."""
    if result.axes[1] == "position":
        pairs = zip(result.clean, result.corrupted, strict=True)
        titles = [
            [str(p), _clip(clean.label), _clip(corrupted.label) if clean != corrupted else ""]
            for p, (clean, corrupted) in enumerate(pairs)
        ]
        corner = ["layer", "", ""]
    else:
        titles = [[f"head {head}"] for head in range(result.values.shape[1])]
        corner = ["layer"]
    columns = [
        [*title, *(f"{value:.3f}" for value in result.values[:, column])]
        for column, title in enumerate(titles)
    ]
    return "\n".join(_table([[*corner, *result.rows], *columns]))


def _table(columns: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table whose first column comes again in each part that fits the terminal."""
    first, *others = map(_aligned, columns)
    room = _width() - width_of(first[0])
    while others:
        fits, taken = 0, 0
        while fits < len(others) and (taken := taken + 2 + width_of(others[fits][0])) <= room:
            fits += 1
        part, others = others[: max(1, fits)], others[max(1, fits) :]
        yield from ("  ".join(line).rstrip() for line in zip(first, *part, strict=True))
        if others:
            yield ""


def _width() -> int:
    return get_terminal_size().columns


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(width_of, column))
    return [" " * (width - width_of(cell)) + cell for cell in column]


def _clip(label: str, most: int = _LONGEST_PIECE) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
