"""Result -> text for a terminal."""

from core.question.metrics import METRICS
from core.result import Ranked, Result
from core.views.words import number, probability, summary, width_of, wording

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
    lines = zip(*map(_aligned, [[*corner, *result.rows], *columns]), strict=True)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _aligned(column: list[str]) -> list[str]:
    width = max(map(width_of, column))
    return [" " * (width - width_of(cell)) + cell for cell in column]


def _clip(label: str) -> str:
    return label if len(label) <= _LONGEST_PIECE else label[: _LONGEST_PIECE - 1] + "…"
