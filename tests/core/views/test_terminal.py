"""A result in a terminal: the tables, the grid in columns, tokens visible."""

from dataclasses import replace

import pytest

from core.question.tokens import Token
from core.views.terminal import report
from core.views.words import probability
from tests.builders import asked


def grid_of(text: str) -> list[str]:
    """The lines of the grid: from the one that numbers the positions on."""
    start = text.index("layer  ")
    return text[start : text.index("\n\n", start)].splitlines()


def test_the_report_has_both_tables(result):
    text = report(result)
    for side in ("clean", "corrupted"):
        table = text.partition(f"After the {side} text\n")[2].partition("\n\n")[0]
        head, *lines = table.splitlines()
        assert head.split() == ["rank", "id", "logit", "prob", "token"]
        for line, row in zip(lines, result.top[side], strict=True):
            numbers = [f"{row.rank}", f"{row.token.id}", f"{row.logit:.4f}"]
            assert line.split() == [*numbers, probability(row.prob), row.token.label]


def test_the_report_says_what_the_numbers_are(result):
    text = report(result)
    baseline = result.baselines["logit_diff"]
    assert "Logit difference: logit(·Poe) - logit(·Lee)" in text
    assert f"clean run {baseline.clean:.4f}, corrupted run {baseline.corrupted:.4f}" in text
    assert "resid_post: clean into the corrupted run (denoise)" in text
    assert "corrupted into the clean run (noise)" in report(asked(result, direction="noise"))


def test_the_report_says_what_took_how_long_and_nothing_of_what_took_no_time(result):
    seconds = {"load": 0.0, "plain_runs": 0.0018642, "sweep": 1234.56, "any": 0.5}
    last = report(replace(result, seconds=seconds)).splitlines()[-1]
    assert last.endswith("): plain runs 0.00186 s, sweep 1230 s, any 0.5 s")
    last = report(replace(result, seconds={"load": 0.0})).splitlines()[-1]
    assert last == f"{result.model.name} ({result.model.fingerprint})"


def test_the_grid_has_a_line_for_each_layer_and_both_tokens_where_they_differ(result):
    numbers, clean, corrupted, *layers = grid_of(report(result))
    assert numbers.split() == ["layer", *map(str, range(7))]
    assert clean.split() == [token.label for token in result.clean]
    assert corrupted.split() == ["·Poe"]
    assert corrupted.index("·Poe") == clean.index("·Lee")
    for line, name, values in zip(layers, result.rows, result.values, strict=True):
        assert line.split() == [name, *(f"{value:.3f}" for value in values)]


@pytest.mark.parametrize("piece", ["日本", "e\u0301a", " \n\t", "\x1b[31m", "a" * 50])
def test_columns_stay_aligned_whatever_the_tokens_are(result, piece):
    """East Asian wide characters take two columns, combining ones none (Unicode annex 11)."""
    tokens = (Token(1, piece), *result.clean[1:])
    text = report(replace(result, clean=tokens, corrupted=tokens))
    assert "\x1b" not in text and "\t" not in text
    ends = {
        sum(0 if char == "\u0301" else 2 if char in "日本" else 1 for char in line)
        for line in grid_of(text)
        if line.strip()
    }
    assert len(ends) == 1  # the last column is flush right in every line


@pytest.mark.parametrize("width", [60, 200])
def test_a_table_fits_the_terminal_and_goes_on_below(result, monkeypatch, width):
    """With the layers beside each part, and no number left out."""
    monkeypatch.setenv("COLUMNS", str(width))
    tokens = tuple(Token(i, "x" * 9) for i in range(len(result.clean)))
    text = report(replace(result, clean=tokens, corrupted=tokens))
    grid = text[text.index("layer  ") : text.rindex("\n\n")].splitlines()
    assert max(map(len, grid)) <= width
    read = {name: [] for name in result.rows}
    for line in filter(str.strip, grid):
        name, *values = line.split()
        read.get(name, []).extend(values)
    expected = {
        name: [f"{value:.3f}" for value in values]
        for name, values in zip(result.rows, result.values, strict=True)
    }
    assert read == expected
    assert sum(line.startswith("layer") for line in grid) == (1 if width == 200 else 2)
