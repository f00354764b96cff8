"""Result -> text for a terminal: the next-token tables and the grid."""

import unicodedata

from core.figures import wording
from core.metrics import METRICS
from core.result import Ranked, Result

_LONGEST_PIECE = 12


def report(result: Result) -> str:
    """Everything `python -m core patch` prints."""
    baseline = result.baselines[result.experiment.metric]
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in result.seconds.items())
    parts = [
        *(_top_table(f"After the {side} text", result.top[side]) for side in result.top),
        f"{METRICS[result.experiment.metric].title}: {wording(result)}",
        f"clean run {baseline.clean:.4f}, corrupted run {baseline.corrupted:.4f};"
        f" each cell: one resid_post patched into the {result.unpatched} run",
        _grid(result),
        f"{result.model.name} ({result.model.fingerprint}): {seconds}",
    ]
    return "\n\n".join(parts)


def _top_table(title: str, top: tuple[Ranked, ...]) -> str:
    lines = [title, f"{'rank':>4}  {'id':>6}  {'logit':>9}  {'prob':>8}  token"]
    lines += [
        f"{row.rank:>4}  {row.token.id:>6}  {row.logit:>9.4f}  {row.prob:>8.4%}  {row.token.label}"
        for row in top
    ]
    return "\n".join(lines)


def _grid(result: Result) -> str:
    """Positions across, under both pieces where they differ."""
    pairs = list(zip(result.clean, result.corrupted, strict=True))
    heads = [
        [str(position), _clip(clean.label), _clip(corrupted.label) if clean != corrupted else ""]
        for position, (clean, corrupted) in enumerate(pairs)
    ]
    columns = [
        [*head, *(f"{value:.3f}" for value in result.values[:, position])]
        for position, head in enumerate(heads)
    ]
    names = ["layer", "", "", *result.rows]
    lines = zip(*(_aligned(column) for column in [names, *columns]), strict=True)
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
