"""The sentences that a lens and a map are put into: true whatever the numbers are."""

from dataclasses import replace

import numpy as np
import pytest

from core.question.tokens import Token
from core.views.sentences import hand_over, lens_says

A, B = Token(1, " A"), Token(2, " B")
ROWS = ("embedding", "0", "1", "2")


@pytest.mark.parametrize(
    ("tops", "says"),
    [
        ("AAAA", "is ·A at once, from the embedding on"),
        ("BAAA", "becomes ·A after layer 0 and stays so"),
        ("BBBA", "becomes ·A after layer 2, the last"),
        ("ABAA", "is ·A on and off, and for good after layer 1"),
        ("BABA", "is ·A on and off, and for good after layer 2"),
        ("AABB", "is ·A for the last time after layer 0, and ends as ·B, with ·A at rank 1,234"),
        ("BBBB", "never becomes ·A, and ends as ·B, with ·A at rank 1,234"),
    ],
)
def test_when_a_run_comes_to_expect_a_token(tops, says):
    assert lens_says(ROWS, [A if top == "A" else B for top in tops], A, 1234) == says


@pytest.mark.parametrize(
    ("at_the_word", "at_the_end", "says"),
    [
        (
            (1, 1, 0, 0),
            (0, 0, 0, 1),
            "is layer 0; the last position has more than half of it from layer 2 on.",
        ),
        (
            (1, 0, 0.6, 0),
            (0, 0.9, 0.4, 1),
            "is layer 1; the last position has more than half of it from layer 2 on.",
        ),
        (
            (1, 0.5, 0, 0),
            (0.6, 0.6, 0.6, 1),
            "is the embedding; the last position has more than half of it from the embedding on.",
        ),
    ],
)
def test_where_the_effect_is_on_the_way_up(result, at_the_word, at_the_end, says):
    recovery = np.zeros((4, len(result.clean)), dtype=np.float32)
    recovery[:, 1], recovery[:, -1] = at_the_word, at_the_end  # "Lee" and "Poe" are at position 1
    shown = replace(result, rows=ROWS, grids={"recovery": recovery})
    begins = "At ·Lee, position 1, the last row with more than half of the effect "
    assert hand_over(shown) == begins + says


def test_runs_that_answer_alike_have_nothing_to_hand_over(result):
    shown = hand_over(replace(result, grids={"logit_diff": result.grids["logit_diff"]}))
    assert shown.startswith("Both runs answer alike")
