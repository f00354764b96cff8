"""Pictures to print: they open, they are large enough, and they draw any token."""

import io
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from core.result import Baseline
from core.views.pictures import picture
from tests.builders import HOSTILE, experiment, of_shape, with_tokens


def test_the_png_opens_and_is_large_enough_to_print(result):
    content = picture(result, "png")
    pixels = matplotlib.image.imread(io.BytesIO(content))
    height, width = pixels.shape[:2]
    assert width >= 1800 and height >= 1200  # 6 x 4 inches at 300 dpi
    assert np.ptp(pixels[..., :3]) > 0.5
    at = content.index(b"pHYs") + 4
    assert int.from_bytes(content[at : at + 4], "big") == round(300 / 0.0254)  # pixels per metre


def test_the_svg_opens(result):
    root = ET.fromstring(picture(result, "svg"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


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
