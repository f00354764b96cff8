"""The words of a map: which metric, what was patched, with what and into what."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from core.question.tokens import Token
from core.result import Result
from core.views.words import (
    colours_mean,
    differing_positions,
    duration,
    folded,
    formula,
    marked_words,
    number,
    plotly_text,
    probability,
    quoted,
    replaced,
    row_name,
    size,
    summary,
    tick_labels,
    wording,
)
from tests.builders import answer, asked, of_shape


def map_of(loaded, **changes) -> Result:
    """A result, and of one by position the map of the last but one."""
    result = answer(loaded, **changes)
    return result if len(result.axes) == 2 else result.at(-2)


def test_the_metric_is_worded_with_both_tokens(result):
    assert wording(result) == "logit(·Poe) - logit(·Lee)"
    assert wording(asked(result, metric="target_prob")) == "P(·Lee)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "resid_post: clean into the corrupted run (denoise)"),
        ({"direction": "noise"}, "resid_post: corrupted into the clean run (noise)"),
        ({"direction": "zero"}, "resid_post: zeros into the clean run (zero)"),
        (
            {"direction": "position_mean"},
            "resid_post: the position mean into the clean run (position_mean)",
        ),
        (
            {"site": "head_z_position"},
            "head_z_position at position 5: clean into the corrupted run (denoise)",
        ),
        (
            {"window": 2},
            "resid_post, a window of 2 on either side, patched together (a joint effect): clean"
            " into the corrupted run (denoise)",
        ),
    ],
)
def test_the_summary_says_what_was_put_where(loaded, changes, words):
    assert summary(map_of(loaded, **changes)) == words


@pytest.mark.parametrize(
    ("changes", "row", "words"),
    [
        ({"embedding": True}, 1, "the resid_post of layer 0 at position 1"),
        ({"site": "resid_pre"}, 2, "the stream before layer 2 at position 1"),
        ({"site": "mlp_out"}, 2, "the mlp_out of layer 2 at position 1"),
        ({"site": "head_q"}, 2, "the query of head 1 in layer 2 at every position"),
        ({"site": "head_z_position"}, 2, "the output z of head 1 in layer 2 at position 5"),
        (
            {"window": 1},
            2,
            "the resid_post of layers 1 to 2 (a window of 1 on either side of layer 2, a joint"
            " effect) at position 1",
        ),
        ({"window": 1, "embedding": True}, 0, "the embedding at position 1"),
    ],
)
def test_all_that_a_cell_replaced_is_said(loaded, changes, row, words):
    assert replaced(map_of(loaded, **changes), row, 1) == words


@pytest.mark.parametrize(
    ("window", "names"),
    [
        (0, ["embedding", "layer 0", "layer 1", "layer 2"]),
        (1, ["embedding", "layers 0 to 1", "layers 0 to 2", "layers 1 to 2"]),
        (9, ["embedding", "layers 0 to 2", "layers 0 to 2", "layers 0 to 2"]),
    ],
)
def test_a_window_ends_at_the_first_and_the_last_layer(loaded, window, names):
    result = map_of(loaded, window=window, embedding=True)
    assert [row_name(result, row) for row in range(4)] == names


@pytest.mark.parametrize(
    ("direction", "words"),
    [
        ("denoise", "moves towards the clean run; orange: away from it; no colour: as in the corr"),
        ("noise", "moves towards the corrupted run; orange: away from it; no colour: as in the cl"),
        ("position_mean", "rises above the clean run; orange: falls below it; no colour: as in th"),
    ],
)
def test_the_colours_are_explained_in_one_line(result, direction, words):
    line = colours_mean(asked(result, direction=direction))
    assert line.startswith(f"Blue: the metric {words}") and "\n" not in line


def test_plotly_is_given_what_it_shows_as_the_text():
    assert plotly_text("\"'<&%{x}%") == "\"'&lt;&amp;&#37;{x}%"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1.0, "100.00%"),
        (0.9999612, ">99.99%"),
        (0.99954, "99.95%"),
        (0.06231, "6.23%"),
        (0.01, "1.00%"),
        (0.009996, "1.00%"),
        (0.00446, "0.446%"),
        (0.0000123, "0.00123%"),
        (0.00001, "0.00100%"),
        (9.9996e-6, "0.00100%"),
        (1.234e-8, "1.23e-6%"),
        (1e-30, "1.00e-28%"),
        (0.0, "0.00%"),
    ],
)
def test_a_probability_has_three_digits_that_say_something_however_small(p, text):
    assert probability(p) == text


def test_a_metric_that_is_a_probability_is_told_as_one_and_others_to_4_decimals():
    assert number("target_prob", 0.0000123) == "0.00123%"
    assert number("prob_diff", np.float32(-0.0000123)) == "-0.00123%"
    assert number("foil_prob", float("nan")) == "nan"
    assert number("logit_diff", -0.00001) == "0.0000"
    assert number("kl", 0.12345) == "0.1235"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.01, "1 s"), (38.4, "38 s"), (59.7, "1 min 0 s"), (130, "2 min 10 s"), (3900, "1 h 5 min")],
)
def test_a_time_is_told_in_what_a_person_counts_in(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("nbytes", "text"), [(61.4e6, "61 MB"), (999.4e6, "999 MB"), (1.21e9, "1.2 GB")]
)
def test_memory_is_told_in_megabytes_or_gigabytes(nbytes, text):
    assert size(nbytes) == text


# --- Labels of columns ---------------------------------------------------------------------------


def differing_at(result: Result, positions: int, *differing: int) -> Result:
    """A result of so many positions, at some of which the texts differ."""
    result = of_shape(result, 2, positions)
    corrupted = [Token(99, " Poe") if p in differing else t for p, t in enumerate(result.clean)]
    return replace(result, corrupted=tuple(corrupted))


@pytest.mark.parametrize("room", [200, 280, 900])
@pytest.mark.parametrize("positions", [5, 11, 30, 120, 1024])
@pytest.mark.parametrize("runs", [[(1,)], [(1, 2)], [(0,), (2,), (4,)], [(0,), (2, 3, 4)]])
def test_where_the_texts_differ_there_always_is_a_label_and_none_meet(
    result, room, positions, runs
):
    differing = [p for run in runs for p in run]
    asked, column, line = differing_at(result, positions, *differing), room / positions, 14
    assert differing_positions(asked) == differing
    labels = tick_labels(asked, column, line)
    if column < line:  # then one label for those next to each other
        differing = [(run[0] + run[-1]) / 2 for run in runs]
    gaps = [(right - left) * column for left, right in pairwise(differing)]
    if min(gaps, default=line) >= line:  # of more than there is room for, as many as fit
        assert all("·Poe" in labels[place] for place in differing)
    assert list(labels) == sorted(labels)
    for left, right in pairwise(labels):
        lines = 2 + (labels[left] + labels[right]).count("\n")
        assert (right - left) * column >= line * lines / 2


def test_both_tokens_stand_over_each_other_or_in_one_line_where_columns_are_narrow(result):
    assert tick_labels(differing_at(result, 7, 1, 2), 40, 14)[1] == "Anna\n·Poe"
    beside = tick_labels(differing_at(result, 7, 1), 20, 14)  # two lines would take its neighbours'
    assert beside[1] == "Anna / ·Poe" and len(beside) == 7
    assert tick_labels(differing_at(result, 7, 1, 2), 20, 14)[1] == "Anna / ·Poe"
    assert tick_labels(differing_at(result, 7, 1, 2), 10, 14)[1.5] == "AnnaAnna / ·Poe·Poe"
    assert tick_labels(differing_at(result, 7), 40, 14) == dict.fromkeys(range(7), "Anna")


# --- Plain words ---------------------------------------------------------------------------------


def test_the_words_in_which_two_texts_differ_are_marked(result):
    asked = replace(
        result.experiment, clean="A cat  sat\nhere, today", corrupted="A dog  sat\nthere, today"
    )
    marked = marked_words(replace(result, experiment=asked))
    assert [word for word, mark in marked["clean"] if mark] == ["cat", "sat⏎here,"]
    assert [word for word, mark in marked["corrupted"] if mark] == ["dog", "sat⏎there,"]
    assert " ".join(word for word, _ in marked["clean"]) == "A cat  sat⏎here, today"


def test_a_long_text_is_folded_to_what_differs_and_its_ends():
    words = [(f"word{n}", n == 300) for n in range(600)]
    assert folded(words[:50]) == words[:50]
    kept = folded(words)
    assert ("word300", True) in kept and kept[:3] == words[:3] and kept[-6:] == words[-6:]
    assert [word for word, _ in kept].count("…") == 2
    assert sum(len(word) + 1 for word, _ in kept) < 600
    assert sum(len(word) for word, _ in folded([("x" * 9000, True)])) < 600


def test_tokens_are_quoted_with_their_spaces(result):
    assert formula(result, "logit_diff", quoted) == 'logit(" Poe") - logit(" Lee")'
    assert quoted(Token(1, " a\n\x00")) == '" a⏎\\x00"'
