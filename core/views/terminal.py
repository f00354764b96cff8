"""Results, checks and the catalogue -> text for a terminal."""

import unicodedata
from collections.abc import Iterable

from core.checks.verify import Check
from core.models import Entry
from core.question.metrics import METRICS
from core.result import Ranked, Result
from core.views.words import summary, wording

_LONGEST_PIECE = 12


def report(result: Result) -> str:
    """Everything `python -m core patch` prints."""
    baseline = result.baselines[result.experiment.metric]
    seconds = ", ".join(
        f"{part.replace('_', ' ')} {_seconds(value)}"
        for part, value in result.seconds.items()
        if value
    )
    parts = [
        *(_top_table(f"After the {side} text", result.top[side]) for side in result.top),
        f"{METRICS[result.experiment.metric].title}: {wording(result)}",
        f"clean run {baseline.clean:.4f}, corrupted run {baseline.corrupted:.4f};"
        f" {summary(result)}",
        _grid(result)
        if len(result.axes) == 2
        else "(by layer, head and position: --csv or --json)",
        f"{result.model.name} ({result.model.fingerprint})" + (seconds and f": {seconds}"),
    ]
    return "\n\n".join(parts)


def check_line(check: Check) -> str:
    """One check: its verdict, what it is, and where its numbers are farthest apart."""
    if check.skipped:
        return f"  --   {check.title}: not run, {check.skipped}"
    verdict = "  ok" if check.passed else "FAILED"
    return (
        f"{verdict:<6} {check.title}: {check.compared:,} numbers, at worst {check.ours:.6g} against"
        f" {check.theirs:.6g}, {check.difference:.1e} apart (at most {check.tolerance:.0e});"
        f" {check.source}"
    )


def bench_table(numbers: dict) -> str:
    """What `python -m core bench` measured."""
    n = numbers
    lines = [
        f"{n['model']}, {n['site']}, {n['tokens']} tokens, {n['cells']:,} cells,"
        f" {n['device']}, {n['threads']} threads; medians, rounds: {n['rounds']}",
        f"sweep                  {n['sweep_seconds']:.4f} s, both plain runs included",
    ]
    if "plain_loop_seconds" in n:
        lines.append(
            f"plain loop             {n['plain_loop_seconds']:.2f} s, scaled to all cells from"
            f" {n['plain_cells_timed']} timed runs:"
            f" {n['times_faster_than_plain_loop']:.1f} times as long,"
            f" logits at most {n['largest_logit_difference']:.1e} apart"
        )
    lines += [
        f"least operations       {n['operations'] / 1e9:.2f} GFLOP",
        f"achieved               {n['rate'] / 1e9:.1f} GFLOP/s",
        f"bare products, own     {n['own_shapes_rate'] / 1e9:.1f} GFLOP/s:"
        f" achieved {n['fraction_of_own_shapes_rate']:.0%}",
        f"bare products, large   {n['large_rate'] / 1e9:.1f} GFLOP/s:"
        f" achieved {n['fraction_of_large_rate']:.0%}",
    ]
    if n["peak_bytes"] is not None:
        lines.append(
            f"peak memory            {n['peak_bytes'] / 1e6:.0f} MB above the weights,"
            f" {n['peak_bytes_predicted'] / 1e6:.0f} MB predicted"
        )
    return "\n".join(lines)


def model_table(entries: Iterable[Entry]) -> str:
    """The catalogue: name, state on this machine, what it is."""
    lines = [f"{'name':<14} {'on this machine':<26} what it is"]
    for entry in entries:
        missing = entry.missing_bytes / 1e6
        state = f"{entry.state}, {missing:,.0f} MB to come" if missing else entry.state
        lines.append(f"{entry.name:<14} {state:<26} {entry.about}")
    return "\n".join(lines)


def _seconds(value: float) -> str:
    """Three significant digits."""
    return f"{float(f'{value:.3g}'):g} s"


def _top_table(title: str, top: tuple[Ranked, ...]) -> str:
    lines = [title, f"{'rank':>4}  {'id':>6}  {'logit':>9}  {'prob':>8}  token"]
    lines += [
        f"{row.rank:>4}  {row.token.id:>6}  {row.logit:>9.4f}  {row.prob:>8.4%}  {row.token.label}"
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
    lines = zip(*map(_aligned, [[*corner, *result.rows], *columns]), strict=True)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _aligned(column: list[str]) -> list[str]:
    width = max(map(_width, column))
    return [" " * (width - _width(cell)) + cell for cell in column]


def _clip(label: str) -> str:
    return label if len(label) <= _LONGEST_PIECE else label[: _LONGEST_PIECE - 1] + "…"


def _width(text: str) -> int:
    """Columns a terminal gives to a text: two for a wide character, none for a combining one."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
