"""The words of a map: which metric, what was patched, with what and into what."""

import pytest

from core.result import Result
from core.views.words import (
    colours_mean,
    duration,
    number,
    plotly_text,
    probability,
    replaced,
    row_name,
    size,
    summary,
    wording,
)
from tests.builders import answer, asked


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
        ({"direction": "mean"}, "resid_post: the position mean into the clean run (mean)"),
        (
            {"site": "head_z_position"},
            "head_z_position at position 5: clean into the corrupted run (denoise)",
        ),
        (
            {"window": 2},
            "resid_post, a window of 2 on either side: clean into the corrupted run (denoise)",
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
            "the resid_post of layers 1 to 2 (a window of 1 on either side of layer 2)"
            " at position 1",
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
        ("mean", "rises above the clean run; orange: falls below it; no colour: as in the clean r"),
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
    assert number("prob_diff", -0.0000123) == "-0.00123%"
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
