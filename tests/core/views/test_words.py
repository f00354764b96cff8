"""The words of a map: which metric, what was patched, with what and into what."""

import pytest

from core.result import Result
from core.views.words import colours_mean, plotly_text, replaced, row_name, summary, wording
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
