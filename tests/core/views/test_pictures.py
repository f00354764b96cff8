"""Pictures to hand in: complete, measured, and text where they can be text."""

import io
import re
import warnings
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace
from itertools import combinations

import matplotlib.image
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.text import Text

from core.question.experiment import OF_ONE
from core.question.tokens import Token
from core.result import Baseline, Result
from core.views import pictures
from core.views.colours import BLUE, ORANGE, SEQUENTIAL
from core.views.pictures import FORMATS, draw, picture
from core.views.words import caption, colours_mean, summary
from tests import answers
from tests.builders import HOSTILE, answer, asked, experiment, of_shape, with_tokens


def pixels_of(png: bytes) -> np.ndarray:
    """(height, width, 3), from 0 to 1."""
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


def texts_of(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def odd(result: Result) -> Result:
    """Of texts and tokens that something or other would change, break or not draw."""
    texts = {
        "clean": f"$x$ {HOSTILE[2]} ^_\\ שלום " + "w" * 300,
        "corrupted": "<b> ]]> 日本\n\t$ 🙂",
    }
    hostile = with_tokens(result, HOSTILE[1:6] + HOSTILE[7:9])
    other = (Token(1, "مرحبا"), Token(2, "\n\t"))
    return replace(hostile, corrupted=(*other, *hostile.clean[2:]), experiment=experiment(**texts))


def differing(result: Result, *positions: int) -> Result:
    """The texts differ at these positions, by a long token."""
    tokens = list(result.corrupted)
    for position in positions:
        tokens[position] = Token(99, " Longestofnames")
    return replace(result, corrupted=tuple(tokens))


CASES = {
    "5 tokens": lambda result: of_shape(result, 12, 5),
    "7 tokens": lambda result: result,
    "30 tokens": lambda result: differing(of_shape(result, 12, 30), 1, 2, 29),
    "120 tokens": lambda result: differing(of_shape(result, 49, 120), 0, 60, 61),
    "1000 tokens": lambda result: differing(of_shape(result, 3, 1000), 4),
    "odd texts": odd,
    **{d: lambda result, d=d: asked(result, direction=d, window=1) for d in OF_ONE},
    "recovery": lambda result: asked(result, metric="recovery"),
    "kl": lambda result: asked(result, metric="kl"),
}
OF_MANY = {
    "12 x 25 over pairs": lambda _: answers.of_shape(12, 25),
    "12 heads over pairs": lambda _: answers.of_shape(12, 12, ("layer", "head")),
    "48 layers, odd roles": lambda _: replace(
        answers.of_shape(48, 7, ("layer", "role")), columns=(*HOSTILE[:6], "last position")
    ),
}
DRAWN = [(case, view) for case in CASES for view in ("effect", "assignment")]


@pytest.mark.parametrize(("case", "view"), [*DRAWN, *((case, "effect") for case in OF_MANY)])
def test_every_text_is_within_the_picture_and_no_two_meet(result, case, view):
    figure = draw((CASES | OF_MANY)[case](result), view)
    right, top = figure.canvas.get_width_height()
    assert max(figure.get_size_inches()) < 25
    renderer = figure.canvas.get_renderer()
    shown = [text for text in figure.findobj(Text) if text.get_text().strip()]
    boxes = {text: text.get_window_extent(renderer) for text in shown}
    assert len(boxes) > 15
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= right and box.y1 <= top, text
    for (one, box), (two, other) in combinations(boxes.items(), 2):
        across = min(box.x1, other.x1) - max(box.x0, other.x0)
        up = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert across <= 0 or up <= 0, (one, two)


def test_a_picture_by_heads_says_so_and_numbers_them_once(loaded):
    texts = texts_of(picture(answer(loaded, site="head_z"), "svg"))
    assert "head" in texts and "position" not in texts
    assert texts.count("1") == 2  # a layer and a head


def test_the_png_opens_and_is_large_enough_to_print(result):
    content = picture(result, "png")
    height, width, _ = pixels_of(content).shape
    assert width >= 1800 and height >= 1200  # 6 x 4 inches at 300 dpi
    at = content.index(b"pHYs") + 4
    assert int.from_bytes(content[at : at + 4], "big") == round(300 / 0.0254)  # pixels per metre


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_result_gives_the_same_file(result, format):
    assert picture(result, format) == picture(result, format)


@pytest.mark.parametrize(
    "changes", [{"embedding": True}, {"direction": "position_mean", "window": 1}], ids=str
)
def test_a_picture_says_what_it_is_of(loaded, changes):
    result = answer(loaded, **changes)
    texts = texts_of(picture(result, "svg"))
    assert {*"0123456", *result.rows, "Anna", "·Lee", "·Poe"} <= set(texts)
    assert {"position", "patched layer"} <= set(texts)
    whole = " ".join(texts)
    for said in (
        "Logit difference after patching the residual stream",
        "Model: tiny (3 layers, float32, weights 0123456789ab)",
        "Clean text: Anna Lee met Bob Ray. Anna",
        "Corrupted text: Anna Poe met Bob Ray. Anna",
        'Target " Lee", foil " Poe"',
        'Logit difference = logit(" Poe") - logit(" Lee"). Negative where the target wins',
        summary(result),
        colours_mean(result),
    ):
        assert said in whole
    clean, corrupted = (f"{result.plain('logit_diff', run):z.4g}" for run in ("clean", "corrupted"))
    assert f"clean {clean}" in texts
    assert (f"corrupted {corrupted}" in texts) == (result.other is not None)


def test_the_words_that_differ_are_bold_and_no_others(result):
    bold = {text.get_text() for text in draw(result).texts if text.get_weight() == "bold"}
    assert bold == {"Lee", "Poe", "Logit difference after patching the residual stream"}


def test_a_metric_of_logit_differences_says_what_they_are(result):
    said = " ".join(texts_of(picture(asked(result, metric="recovery"), "svg")))
    assert "Recovery = (LD patched - LD corrupted) / (LD clean - LD corrupted)." in said
    assert 'LD = logit(" Poe") - logit(" Lee").' in said


@pytest.mark.parametrize(
    ("direction", "clean", "corrupted", "upper", "lower"),
    [
        ("denoise", -2, 0, ORANGE, BLUE),
        ("noise", 0, -2, ORANGE, BLUE),
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
    above, below = (rows_of(picture(wanted, "png"), colour) for colour in (upper, lower))
    assert len(above) > 20 * 300
    assert len(above) == pytest.approx(2 * len(below), rel=0.05)
    assert above.mean() < below.mean()


def rows_of(png: bytes, colour) -> np.ndarray:
    """In which rows of pixels a colour is, once for each."""
    return np.nonzero(np.abs(pixels_of(png) * 255 - colour).max(axis=-1) < 2)[0]


def test_a_picture_over_pairs_says_how_many_and_how_sure():
    columns = ("S1", "IO", "S2", "last position")
    answer = replace(answers.of_shape(12, 4, ("layer", "role")), columns=columns)
    texts = texts_of(picture(answer, "svg"))
    assert {"S1", "IO", "last position", "role", "11", "clean 1", "corrupted 0"} <= set(texts)
    whole = " ".join(texts)
    for said in (
        "Recovery (ratio of means) after patching the residual stream over pairs, 20 used of 22",
        caption(answer),
        "Recovery = (LD patched - LD corrupted) / (LD clean - LD corrupted). LD = logit(foil) -",
        colours_mean(answer),
        "Crossed out: no effect is within the 95% interval.",
    ):
        assert said in whole
    assert "Framed" not in whole and "Target" not in whole
    assert "at S1 over pairs, group A: 20 pairs" in " ".join(
        texts_of(picture(replace(answer, part="group A", at_column=(0, "S1")), "svg"))
    )


def test_what_says_nothing_is_crossed_out_and_what_stands_out_framed_without_a_colour():
    """Told from each cell's pixels in grey: what is in its middle, and along its upper edge."""
    answer = answers.of_shape(8, 12, ("layer", "head"))
    marked = (answer.summary.says_nothing, answer.summary.stands_out)
    assert all(0 < mark.sum() < mark.size for mark in marked)
    grey = pixels_of(picture(answer, "png")).mean(axis=-1)
    box = draw(answer).axes[0].get_position()
    ys = len(grey) * (1 - np.linspace(box.y1, box.y0, 8 + 1))
    xs = grey.shape[1] * np.linspace(box.x0, box.x1, 12 + 1)
    for row, column in np.ndindex(8, 12):
        (y, below), (x, right) = (
            edges.round().astype(int) for edges in (ys[row : row + 2], xs[column : column + 2])
        )
        inside = grey[y + 4 : below - 4, x + 4 : right - 4]
        height, width = inside.shape
        middle = inside[height // 3 : -height // 3, width // 3 : -width // 3]
        edge = inside[: height // 4, width // 2]
        assert tuple(np.ptp(part) > 0.3 for part in (middle, edge)) == (
            tuple(mark[row, column] for mark in marked)
        )
    by_role = draw(answers.of_shape(8, 12, ("layer", "role"))).axes[0]
    assert by_role.lines and not by_role.patches  # the rule is about heads


def test_the_view_of_the_assignment_is_of_the_layers_from_dark_to_light(loaded):
    result = answer(loaded, embedding=True, metric="recovery")
    values = np.zeros_like(result.values)
    values[0], values[1] = 99, -2  # the embedding, which is not there, and the first layer
    flat = replace(result, grids=result.grids | {"logit_diff": values})
    content = picture(flat, "png", "assignment")
    dark, light = (rows_of(content, SEQUENTIAL[end][1]) for end in (0, -1))
    assert 0 < dark.mean() < light.mean()
    assert len(light) == pytest.approx(2 * len(dark), rel=0.05)
    texts = texts_of(picture(flat, "svg", "assignment"))
    assert "embedding" not in texts and {"0", "1", "2", "-2"} <= set(texts)
    assert 'logit(" Poe") - logit(" Lee")' in texts


def test_the_svg_is_text_and_valid_whatever_was_typed(result):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = " ".join(texts_of(picture(odd(result), "svg")))
    assert "%{x}" in said and "Corrupted text: <b> ]]>" in said and "⏎⇥$" in said


def test_the_pdf_has_its_fonts_as_text(result):
    content = picture(odd(result), "pdf")
    assert content.startswith(b"%PDF-1.") and content.rstrip().endswith(b"%%EOF")
    assert b"/Subtype /Type3" not in content  # which is drawn, and cannot be searched
    assert b"/FontFile2" in content  # TrueType, embedded
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    inflated = b"".join(zlib.decompress(s) for s in streams if s[:1] == b"\x78")
    assert re.search(rb"\[? ?\([^)]*\)[^\n]*T[jJ]", inflated)


# --- Characters ----------------------------------------------------------------------------------


@pytest.fixture
def without_caches():
    pictures._font_of.cache_clear()
    yield
    pictures._font_of.cache_clear()


def test_what_no_font_has_stands_as_its_code_point_and_a_note_says_so(
    result, monkeypatch, without_caches
):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    wanted = with_tokens(result, ["日本", *["."] * 6])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = " ".join(texts_of(picture(wanted, "svg")))
    assert "[U+65E5][U+672C]" in said
    assert "no font on the machine that drew this has: [U+65E5], [U+672C]" in said
    assert "Code points" not in " ".join(texts_of(picture(result, "svg")))


def test_a_font_that_is_there_draws_what_the_usual_one_lacks(
    result, monkeypatch, tmp_path, without_caches
):
    build = FontBuilder(1000, isTTF=True)
    build.setupGlyphOrder([".notdef", "sun"])
    build.setupCharacterMap({ord("日"): "sun"})
    pen = TTGlyphPen(None)
    for move, *point in (("moveTo", 0, 0), ("lineTo", 900, 0), ("lineTo", 900, 900)):
        getattr(pen, move)(tuple(point))
    pen.closePath()
    build.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "sun": pen.glyph()})
    build.setupHorizontalMetrics({".notdef": (1000, 0), "sun": (1000, 0)})
    build.setupHorizontalHeader(ascent=900, descent=-100)
    build.setupNameTable({"familyName": "Only the sun", "styleName": "Regular"})
    build.setupOS2(sTypoAscender=900)
    build.setupPost()
    build.save(path := tmp_path / "sun.ttf")
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [*manager.ttflist])
    manager.addfont(path)
    svg = picture(with_tokens(result, ["日", *["."] * 6]), "svg")
    assert "日" in texts_of(svg) and "Only the sun" in svg.decode()
    assert "Code points" not in " ".join(texts_of(svg))
    assert picture(with_tokens(result, ["日", *["."] * 6]), "pdf")
