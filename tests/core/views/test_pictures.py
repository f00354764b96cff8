"""Pictures to print: they open, they are large enough, and they draw any token."""

import io
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from core.result import Baseline
from core.views.colours import BLUE, ORANGE
from core.views.pictures import picture
from core.views.words import colours_mean, summary, wording
from tests.builders import HOSTILE, experiment, finished, of_shape, with_tokens


def test_the_png_opens_and_is_large_enough_to_print(result):
    content = picture(result, "png")
    pixels = matplotlib.image.imread(io.BytesIO(content))
    height, width = pixels.shape[:2]
    assert width >= 1800 and height >= 1200  # 6 x 4 inches at 300 dpi
    assert np.ptp(pixels[..., :3]) > 0.5
    at = content.index(b"pHYs") + 4
    assert int.from_bytes(content[at : at + 4], "big") == round(300 / 0.0254)  # pixels per metre


def texts_of(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    "asked", [{"embedding": True}, {"direction": "mean", "window": 1}], ids=str
)
def test_a_picture_says_what_it_is_of(loaded, asked):
    wanted = experiment(**asked)
    result = finished(wanted, loaded).read(wanted)
    texts = texts_of(picture(result, "svg"))
    assert {*"0123456", *result.rows, "Anna", "·Lee", "·Poe"} <= set(texts)
    assert {"position", "patched layer", wording(result)} <= set(texts)
    title = " ".join(texts)
    assert f"Logit difference after patching {summary(result)} · tiny" in title
    assert "clean: Anna·Lee·met" in title and "corrupted: Anna·Poe·met" in title
    assert colours_mean(result) in title
    clean, corrupted = (f"{result.plain('logit_diff', run):z.4g}" for run in ("clean", "corrupted"))
    assert clean in title
    assert (corrupted in title) == (result.other is not None)


def share_of(picture: bytes, colour) -> float:
    """How much of a picture is of a colour."""
    pixels = matplotlib.image.imread(io.BytesIO(picture))[..., :3] * 255
    return (np.abs(pixels - colour).max(axis=-1) < 2).mean()


@pytest.mark.parametrize(
    ("direction", "clean", "value", "colour"),
    [
        ("denoise", 2, 2, BLUE),
        ("denoise", -2, -2, BLUE),
        ("denoise", -2, 2, ORANGE),
        ("noise", -2, 0, BLUE),
        ("zero", -2, 1, BLUE),
        ("zero", 2, -1, ORANGE),
    ],
)
def test_a_cell_has_the_colour_of_its_effect(result, direction, clean, value, colour):
    """Blue: towards the run put in, or up; here of every cell, so nearly all is of one colour."""
    wanted = replace(
        result,
        experiment=experiment(direction=direction),
        grids=result.grids | {"logit_diff": np.full_like(result.values, value)},
        baselines=result.baselines | {"logit_diff": Baseline(clean, 0.0)},
    )
    content = picture(wanted, "png")
    assert share_of(content, colour) > 0.2
    assert share_of(content, BLUE if colour is ORANGE else ORANGE) < 0.02


@pytest.mark.parametrize("direction", ["denoise", "mean"])
def test_a_title_is_no_wider_than_its_picture(loaded, direction):
    wanted = experiment(
        direction=direction,
        window=1,
        clean="Anna Lee. " * 2 + "Anna",
        corrupted="Anna Poe. " * 2 + "Anna",
    )
    result = finished(wanted, loaded).read(wanted)
    pixels = matplotlib.image.imread(io.BytesIO(picture(result, "png")))
    assert pixels[:200, -15:, :3].min() == 1  # white beside the lines of the title


@pytest.mark.parametrize("format", ["png", "svg"])
def test_the_same_result_gives_the_same_file(result, format):
    assert picture(result, format) == picture(result, format)


def test_hostile_tokens_are_drawn_without_complaint(result):
    wanted = experiment(clean=f"$x$ {HOSTILE[2]} ^_\\", corrupted="<b> 日本\n\t$")
    odd = replace(with_tokens(result, HOSTILE[1:6] + HOSTILE[7:9]), experiment=wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture(odd, "png").startswith(b"\x89PNG")
        ET.fromstring(picture(odd, "svg"))


def test_a_picture_of_a_long_text_has_a_bounded_size(result):
    pixels = matplotlib.image.imread(io.BytesIO(picture(of_shape(result, 3, 500), "png")))
    assert pixels.shape[1] == 20 * 300


def test_the_picture_shows_the_values(result):
    """Another grid is another picture."""
    other = replace(result, grids=result.grids | {"logit_diff": result.values[::-1].copy()})
    assert picture(result, "png") != picture(other, "png")


def test_a_grid_without_any_effect_can_be_drawn(result):
    flat = {name: np.zeros_like(grid) for name, grid in result.grids.items()}
    baselines = {name: Baseline(0.0, 0.0) for name in result.baselines}
    assert picture(replace(result, grids=flat, baselines=baselines), "png")
