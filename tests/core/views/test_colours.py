"""The palette: one place, in three notations."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from core.result import Baseline
from core.views import colours
from core.views.colours import BLUE, BLUE_UP, GREY, ORANGE, css_properties, on_paper, reach, rgba
from tests.builders import answer

ROOT = Path(__file__).parents[3]
A_COLOUR = re.compile(r"rgba?\(\s*\d|#[0-9a-fA-F]{6}\b")


def test_a_colour_is_written_as_plotly_css_and_matplotlib_want_it():
    assert rgba(BLUE) == "rgba(20, 90, 200, 1.0)"
    assert rgba(GREY, 0.1) == "rgba(128, 128, 128, 0.1)"
    assert "--pb-clean: 20, 90, 200;" in css_properties()
    assert "--pb-corrupted: 200, 90, 10;" in css_properties()
    (low, orange), (_, grey), (high, blue) = on_paper(BLUE_UP)
    assert (low, high) == (0, 1)
    assert orange == pytest.approx([channel / 255 for channel in ORANGE])
    assert blue == pytest.approx([channel / 255 for channel in BLUE])
    assert grey == pytest.approx([1 - 0.1 * (1 - 128 / 255)] * 3)  # a tenth of grey on white


def test_colours_are_written_down_in_one_place():
    files = [*ROOT.glob("pages/**/*.py"), *ROOT.glob("core/**/*.py"), ROOT / "app.py"]
    found = {path.name for path in files if A_COLOUR.search(path.read_text(encoding="utf-8"))}
    assert not found
    assert A_COLOUR.search("border: rgba(20, 90, 200, 0.3)") and A_COLOUR.search("#145ac8")


def test_the_theme_has_the_blue_of_the_maps():
    theme = tomllib.loads((ROOT / ".streamlit/config.toml").read_text(encoding="utf-8"))["theme"]
    assert theme["light"]["primaryColor"] == f"#{bytes(BLUE).hex()}"


@pytest.mark.parametrize("direction", ["denoise", "zero"])
@pytest.mark.parametrize("known", [0, 1, 3])
def test_values_that_are_not_known_yet_or_have_no_effect_have_a_reach(loaded, direction, known):
    result = answer(loaded, direction=direction)
    result.values[known:] = float("nan")
    assert 0 < reach(result) < float("inf")
    result.values[:] = result.plain("logit_diff", "clean")
    assert reach(result) > 0


@pytest.mark.parametrize(("metric", "least"), [("logit_diff", 0.5), ("kl", 0.02)])
def test_what_is_too_little_to_matter_is_pale_and_noise_has_no_colour(loaded, metric, least):
    result = answer(loaded, metric=metric)
    unpatched = Baseline(1.0, 1.0)
    result = replace(result, baselines=result.baselines | {metric: unpatched})
    result.values[:] = 1.0 + 1e-5
    assert reach(result) == least
    result.values[0, 0] = 1.0 + 3 * least
    assert reach(result) == pytest.approx(3 * least)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [((255,) * 3, (0,) * 3, 21), ((119,) * 3, (255,) * 3, 4.48), (BLUE, BLUE, 1)],
)
def test_contrast_is_what_wcag_defines(one, other, ratio):
    assert colours.contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert colours.contrast(other, one) == colours.contrast(one, other)


def test_a_text_can_be_read_on_every_colour_that_a_cell_with_a_text_has():
    """On a light and on a dark page alike, so nothing may shine through."""
    for step in range(101):
        ground, opacity = colours.at(colours.SOLID_STRENGTH, step / 100)
        assert opacity == 1
        assert colours.contrast(colours.readable_on(ground), ground) >= 4.5
    ends = [colours.at(colours.SOLID_STRENGTH, end)[0] for end in (0, 1)]
    assert {colours.readable_on(end) for end in ends} == {colours.DARK, colours.LIGHT}


def test_the_texts_of_figures_can_be_read_where_no_theme_changes_them():
    assert colours.contrast(colours.TEXT, colours.LIGHT) >= 4.5


def test_the_sequential_scale_says_the_same_in_grey():
    shades = [colours.luminance(colours.at(colours.SEQUENTIAL, n / 50)[0]) for n in range(51)]
    assert shades == sorted(shades) and shades[-1] > 10 * shades[0]
