"""A guess is drawn in the map's colours and tells nothing of the map; it is judged in words."""

import numpy as np
import pytest

from core.guess import AWAY, NOTHING, TOWARDS, Guess, score
from core.views import guesses, heatmaps
from tests import builders


@pytest.fixture(scope="module")
def model():
    return builders.loaded_model()


@pytest.mark.parametrize("asked", [{}, {"direction": "noise"}, {"direction": "zero"}], ids=str)
@pytest.mark.parametrize("site", ["resid_post", "head_z"])
def test_a_guess_is_the_map_as_it_would_be_and_says_nothing_of_it(model, asked, site):
    result = builders.answer(model, site=site, **asked)
    shape = result.values.shape
    guess = Guess.blank(shape).painted((0, 0), (0, 0), TOWARDS).painted((1, 1), (1, 1), AWAY)
    figure = guesses.figure(result, guess)
    drawn, real = figure.data[0], heatmaps.heatmap(result).data[0]
    base = result.plain("logit_diff")
    change = (np.array(drawn.z) * drawn.meta - base).round(5)
    assert np.argwhere(change).tolist() == [[0, 0], [1, 1]]
    assert change[0, 0] == -change[1, 1]
    if result.other:
        way = result.plain("logit_diff", result.other) - base
        assert change[0, 0] == pytest.approx(way, abs=1e-4)
    else:
        assert change[0, 0] > 0
    assert drawn.meta == real.meta
    hovers = {tuple(field)[3] for field in figure.data[-1].customdata}
    assert hovers == {guesses.expects(result, of) for of in (TOWARDS, NOTHING, AWAY)}
    along = {note.text for note in figure.layout.annotations}
    words = {guesses.briefly(result, of).removeprefix("moves ") for of in guesses.EXPECTED}
    assert words <= along and not any(any(map(str.isdigit, text)) for text in along - words)


def test_how_it_came_out_is_said_in_words(model):
    result = builders.answer(model)
    guess = Guess.blank(result.values.shape).painted((0, 0), (0, 0), TOWARDS)
    found = score(guess, result)
    said = guesses.came_out(result, found)
    assert f"right for {found.share:.0%} of the cells" in said
    assert f"nothing anywhere would have been right for {found.of_nothing:.0%}" in said
    assert f"correlation with the map is {found.correlation:.2f}" in said
    blank = score(Guess.blank(result.values.shape), result)
    assert "correlation" not in guesses.came_out(result, blank)


@pytest.mark.parametrize(
    ("direction", "expected", "share", "says"),
    [
        ("denoise", NOTHING, 0.62, "“hardly moves”, it went 62% of the way towards the clean run"),
        ("denoise", TOWARDS, -0.4, "towards the clean run”, it went 40% of the way away from"),
        ("noise", TOWARDS, 0.01, "towards the corrupted run”, it hardly moved"),
        ("zero", AWAY, 0.5, "falls”, it rose by 50% of what the strongest cell did"),
    ],
)
def test_a_surprise_is_what_was_said_and_what_came(model, direction, expected, share, says):
    result = builders.answer(model, direction=direction)
    said = guesses.surprised(result, guesses.Surprise(1, 2, expected, share))
    assert said.startswith(f"layer 1, position 2 ({result.clean[2].label}): guessed “")
    assert says in said
