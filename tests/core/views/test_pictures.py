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
from tests.builders import HOSTILE, answer, experiment, of_shape, with_tokens


def pixels_of(png: bytes) -> np.ndarray:
    """(height, width, 3), from 0 to 1."""
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


def test_the_png_opens_and_is_large_enough_to_print(result):
    content = picture(result, "png")
    height, width, _ = pixels_of(content).shape
    assert width >= 1800 and height >= 1200  # 6 x 4 inches at 300 dpi
    at = content.index(b"pHYs") + 4
    assert int.from_bytes(content[at : at + 4], "big") == round(300 / 0.0254)  # pixels per metre
    assert pixels_of(picture(of_shape(result, 3, 500), "png")).shape[1] == 20 * 300  # and bounded


def texts_of(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    "asked", [{"embedding": True}, {"direction": "mean", "window": 1}], ids=str
)
def test_a_picture_says_what_it_is_of(loaded, asked):
    result = answer(loaded, **asked)
    content = picture(result, "svg")
    assert content == picture(result, "svg")
    texts = texts_of(content)
    assert {*"0123456", *result.rows, "Anna", "·Lee", "·Poe"} <= set(texts)
    assert {"position", "patched layer", wording(result)} <= set(texts)
    title = " ".join(texts)
    assert f"Logit difference after patching {summary(result)} · tiny" in title
    assert "clean: Anna·Lee·met" in title and "corrupted: Anna·Poe·met" in title
    assert colours_mean(result) in title
    clean, corrupted = (f"{result.plain('logit_diff', run):z.4g}" for run in ("clean", "corrupted"))
    assert clean in title
    assert (corrupted in title) == (result.other is not None)


@pytest.mark.parametrize(
    ("direction", "clean", "corrupted", "upper", "lower"),
    [
        ("denoise", 2, 0, BLUE, ORANGE),
        ("denoise", -2, 0, ORANGE, BLUE),
        ("noise", 0, -2, ORANGE, BLUE),
        ("zero", 0, -2, BLUE, ORANGE),
    ],
)
def test_a_cell_has_the_colour_of_its_effect(result, direction, clean, corrupted, upper, lower):
    """Of a map of 2 in the upper two layers and of -2 in the last one."""
    values = np.full_like(result.values, 2)
    values[2] = -2
    wanted = replace(
        result,
        experiment=experiment(direction=direction),
        grids=result.grids | {"logit_diff": values},
        baselines=result.baselines | {"logit_diff": Baseline(clean, corrupted)},
    )
    pixels = pixels_of(picture(wanted, "png")) * 255
    above, below = (
        np.nonzero(np.abs(pixels - colour).max(axis=-1) < 2)[0] for colour in (upper, lower)
    )
    assert len(above) > 0.2 * pixels[..., 0].size
    assert len(above) == pytest.approx(2 * len(below), rel=0.05)
    assert above.mean() < below.mean()


def test_a_title_is_no_wider_than_its_picture(loaded):
    clean, corrupted = (f"Anna {name}. " * 2 + "Anna" for name in ("Lee", "Poe"))
    result = answer(loaded, direction="mean", window=1, clean=clean, corrupted=corrupted)
    assert pixels_of(picture(result, "png"))[:200, -15:].min() == 1  # white beside the lines


def test_hostile_tokens_are_drawn_without_complaint(result):
    wanted = experiment(clean=f"$x$ {HOSTILE[2]} ^_\\", corrupted="<b> 日本\n\t$")
    odd = replace(with_tokens(result, HOSTILE[1:6] + HOSTILE[7:9]), experiment=wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert texts_of(picture(odd, "svg"))
