"""The map under the mouse, and the files that it can be taken home as."""

import csv
import io
import re
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import expect

from core.guess import Guess
from core.views import exports
from core.views.words import probability
from tests.browser.driver import DEFAULT, MAP


@pytest.fixture
def opened(visit, answer):
    return visit.open().shows(answer(DEFAULT).values)


def test_it_opens_with_the_numbers_that_core_gives_and_a_hover_says_them(opened, answer):
    result = answer(DEFAULT)
    drawn = opened.map()
    assert drawn["title"] == "logit(·Smith) - logit(·Jones)"
    assert drawn["rows"] == list(result.rows)
    assert drawn["tokens"][:3] == ["Michelle", "·Jones<br>·Smith", "·was"]
    assert drawn["frames"] == []
    ld = result.grids["logit_diff"]
    expected = {
        r"logit\(·Smith\) - logit\(·Jones\): ": ld,
        "change against the corrupted run: ": ld - result.baselines["logit_diff"].corrupted,
        "recovery: ": result.grids["recovery"],
    }
    for row, position in ((0, 0), (2, 1), (6, 9)):
        said = opened.hover(row, position)
        assert f"{'embedding' if row == 0 else f'layer {row - 1}'}, position {position}" in said
        pieces = (result.clean[position].label, result.corrupted[position].label)
        assert "clean {} · corrupted {}".format(*pieces) in said
        for name, grid in expected.items():
            (number,) = re.findall(rf"{name}(-?\d+\.\d{{4}})(?!\d)", said)
            assert float(number) == pytest.approx(grid[row, position], abs=1.5e-4)


def test_a_click_frames_a_cell_and_tells_its_story(opened):
    page = opened.page
    opened.click(3, 9)
    expect(page.get_by_text("With the resid_post of layer 2 at position 9")).to_be_visible()
    expect(page.get_by_text("Patched run")).to_be_visible()
    assert opened.settle().map()["frames"] == [[3, 9], [3, 9]]
    assert page.get_by_role("spinbutton", name="Position", exact=True).input_value() == "9"
    button = page.get_by_test_id("stDownloadButton").filter(has_text="CSV: top 20")
    with page.expect_download() as started:
        button.get_by_role("button").click()
    table = csv.DictReader(io.StringIO(started.value.path().read_text(encoding="utf-8-sig")))
    patched = [row for row in table if row["run"] == "patched"]
    assert len(patched) == 20
    assert {(row["patched_layer"], row["patched_position"]) for row in patched} == {("2", "9")}
    opened.click(0, 1)
    expect(page.get_by_text("With the embedding at position 1")).to_be_visible()
    assert opened.settle().map()["frames"] == [[0, 1], [0, 1]]
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_text("Patched run")).to_have_count(0)
    assert opened.settle().map()["frames"] == []
    opened.click(0, 1)  # the one that was cleared
    expect(page.get_by_text("With the embedding at position 1")).to_be_visible()


def test_a_click_on_a_head_shows_where_it_reads(opened):
    """From the text pair to the head that moves the surname, by links and clicks alone."""
    opened.page.get_by_role("link", name="Components").click()
    heads = 3  # after the maps of the stream, attention and MLP
    said = opened.hover(2, 3, heads)
    assert "layer 2, head 3" in said
    opened.click(2, 3, heads)
    page = opened.page
    expect(page.get_by_role("heading", name="Where head 3 of layer 2 reads")).to_be_visible()
    last_reads_surname = opened.hover(9, 1, heads + 1)
    assert "9 ·Michelle" in last_reads_surname and "reads 1 ·Jones" in last_reads_surname


def test_the_bars_of_the_next_tokens_say_their_numbers(opened, answer):
    first = answer(DEFAULT).top["clean"][0]
    page = opened.page
    page.get_by_role("radio", name="Chart").click()
    bar = page.locator(".js-plotly-plot .bars .point").first
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2)
    label = page.locator(".hoverlayer .hovertext").first
    expect(label).to_contain_text(f"{first.token.label} (id {first.token.id})")
    said = f"probability {probability(first.prob)}logit {first.logit:.4f}"
    assert said in label.text_content()


def test_a_row_of_the_next_tokens_becomes_target_or_foil_with_a_click(opened, answer):
    """With its space, which the browser's sanitizer takes from the beginning of an attribute; and
    what was typed just before the click is kept."""
    page = opened.page
    buttons = page.locator(".pb-dense").first.locator("button")
    expect(buttons.first).to_be_visible()
    top = [row.token.text for row in answer(DEFAULT).top["clean"]]
    others = [text for text in top if text not in (DEFAULT.target, DEFAULT.foil)]
    assert buttons.count() == 2 * len(others)
    buttons.nth(3).click()
    opened.asks(replace(DEFAULT, foil=others[1]))
    corrupted = DEFAULT.corrupted.replace("Smith", "Cook")
    opened.keys("Corrupted text", corrupted)
    page.locator(".pb-dense").first.locator("button").first.click()
    first = next(text for text in others if text != others[1])
    opened.asks(replace(DEFAULT, corrupted=corrupted, target=first, foil=others[1]))


def test_every_file_is_what_its_button_says(visit, answer):
    asked = replace(DEFAULT, metric="kl")
    expected = answer(asked)
    page = visit.open(metric="kl").shows(expected.values).page
    files = {}
    for label in ("PNG", "SVG", "PDF", "CSV: grid", "CSV: layers", "CSV: top 20", "JSON"):
        button = page.get_by_test_id("stDownloadButton").filter(has_text=label)
        with page.expect_download() as started:
            button.first.get_by_role("button").click()
        assert "teaching-Jones-Smith-resid_post-denoise-kl" in started.value.suggested_filename
        files[label] = started.value.path().read_bytes()
    assert files["PNG"].startswith(b"\x89PNG\r\n\x1a\n")
    assert files["PDF"].startswith(b"%PDF-")
    matrix = np.loadtxt(io.BytesIO(files["CSV: layers"]), delimiter=",")
    np.testing.assert_allclose(matrix, expected.values[1:], atol=1e-4)
    words = ElementTree.fromstring(files["SVG"]).iter("{http://www.w3.org/2000/svg}text")
    assert "KL divergence" in " ".join("".join(text.itertext()) for text in words)
    whole = exports.from_json(files["JSON"].decode("utf-8"))
    for part in ("experiment", "model", "clean", "corrupted", "target", "foil", "rows"):
        assert getattr(whole, part) == getattr(expected, part)
    for grids in (whole.grids, exports.read_grid_csv(files["CSV: grid"].decode("utf-8"))):
        assert list(grids) == list(expected.grids)
        for metric, grid in expected.grids.items():
            np.testing.assert_allclose(grids[metric], grid, atol=1e-4, err_msg=metric)
    rows = csv.DictReader(io.StringIO(files["CSV: top 20"].decode("utf-8-sig")))
    assert [(row["run"], int(row["token_id"])) for row in rows] == [
        (run, row.token.id) for run, top in expected.top.items() for row in top
    ]


def test_a_guess_is_painted_by_clicks_on_cells_and_on_corners_of_blocks(visit):
    visit.open()
    visit.page.get_by_text("Predict first").click()
    expect(visit.page.get_by_text("Where will the patch matter?")).to_be_visible()
    visit.page.get_by_text("a block, by two corners", exact=True).click()
    visit.click(3, 4)
    visit.page.wait_for_function(f"({MAP})()?.layout.shapes?.length")  # the corner is framed
    visit.settle().click(1, 2)
    visit.page.wait_for_url("**guess=**")
    visit.page.get_by_text("one cell", exact=True).click()
    visit.settle().page.get_by_role("radio", name="hardly moves").click()
    before = visit.settle().page.url
    visit.click(2, 3)
    visit.page.wait_for_function("before => location.href !== before", arg=before)
    query = dict(parse_qsl(urlsplit(visit.page.url).query))
    cells = np.zeros((9, 10), dtype=int)
    cells[1:4, 2:5] = 1
    cells[2, 3] = 0
    assert Guess.read(query["guess"], cells.shape) == Guess.of(cells)


def test_of_fast_clicks_on_a_map_to_paint_none_is_lost_and_each_has_its_own_brush(visit):
    visit.open(predict="1").page.get_by_text("Where will the patch matter?").wait_for()
    visit.settle()  # where the cells are
    places, nothing = [visit.cell(1, column) for column in range(3)], "hardly moves"
    brush = visit.page.get_by_role("radio", name=nothing).bounding_box()
    visit.hover(1, 0)  # where Plotly takes the first click to be
    for x, y in (*places, (brush["x"] + 5, brush["y"] + 5), places[1]):
        visit.page.mouse.click(x, y)
    cells = np.zeros((9, 10), dtype=int)
    cells[1, [0, 2]] = 1
    told = urlencode({"guess": Guess.of(cells).written()})
    visit.page.wait_for_function("told => location.search.includes(told)", arg=told)
    # The same stands there for a moment before the brush is another one.
    visit.settle().page.get_by_role("radio", name=nothing, checked=True).wait_for()


def test_a_click_on_a_token_of_the_texts_brings_words_for_its_place(visit, answer):
    visit.open().shows(answer(DEFAULT).values)
    visit.page.get_by_title("click for words to put here").nth(1).click()
    word = visit.page.locator(".st-key-swap_words button").first
    expect(word).to_contain_text("→")
    name = word.inner_text().split(" → ")[0].replace("·", " ")
    word.click()
    visit.asks(replace(DEFAULT, corrupted=DEFAULT.clean.replace(" Jones", name), foil=name))
