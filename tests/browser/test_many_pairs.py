"""Many pairs as a person does them: a pack, a map that grows, a cell, the pair that disagrees."""

import csv
import io
import zipfile

import pytest
from playwright.sync_api import expect

from core.many import packs, pairs
from tests.browser.driver import MAP, PATIENCE, PHONE

PACK = packs.PACKS["teaching-surname"]
# Of a strip, where each pair's dot is in the window, and which pair it is.
DOTS = """() => {
  const plot = [...document.querySelectorAll(".js-plotly-plot")]
    .find(p => p._fullData.at(-1).marker?.symbol === "diamond");
  plot.scrollIntoView({block: "center"});
  const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
  return plot._fullData.flatMap(trace => [...trace.x].map((x, i) => [
    trace.customdata[i][0], box.x + xaxis._offset + xaxis.d2p(x),
    box.y + yaxis._offset + yaxis.d2p(trace.y[i])]));
}"""
MAPS_SEEN = """() => {
  window.partial = new Set();
  setInterval(() => {
    const says = document.body.textContent.match(/So far ([0-9,]+) pairs/);
    if (says) window.partial.add(says[1]);
  }, 100);
}"""


def run(page) -> None:
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("button", name="All of it: ZIP")).to_be_visible(timeout=2 * PATIENCE)


def test_a_map_grows_and_the_pair_that_disagrees_is_two_clicks_away_and_back(visit, tmp_path):
    visit.open("/many", pack=PACK.name, site="head_z", metric="recovery")
    page = visit.page
    expect(page.get_by_text("200 given. ")).to_be_visible()
    run(page)
    said = visit.hover(4, 3)
    assert "layer 4, head 3" in said and "95% interval" in said and "200 pairs" in said
    visit.click(4, 3)
    expect(page.get_by_text("Layer 4, head 3: 200 used of 200 given.")).to_be_visible()
    visit.settle()
    dots = page.evaluate(DOTS)
    assert sorted(int(i) for i, *_ in dots) == list(range(200))
    index, x, y = min(dots, key=lambda dot: dot[1])  # the leftmost one
    page.mouse.move(x - 3, y - 3)
    page.mouse.move(x, y)
    page.mouse.click(x, y)
    pair = PACK.make()[int(index)]
    expect(page.get_by_text(f"Pair {pair.id}: ")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="All of it: ZIP").click()
    file = tmp_path / "all.zip"
    download.value.save_as(file)
    with zipfile.ZipFile(file) as archive:
        table = archive.read("pairs.csv").decode("utf-8-sig")
        assert {"values.parquet", "summary.csv", "map.png"} <= set(archive.namelist())
    assert len(list(csv.DictReader(io.StringIO(table)))) == 200
    page.get_by_role("button", name="Open this pair by itself").click()
    expect(page.get_by_role("textbox", name="Clean text")).to_have_value(pair.clean)
    expect(page.get_by_role("textbox", name="Target token")).to_have_value(*pair.target)
    visit.settle()
    page.go_back()
    expect(page.get_by_text("Layer 4, head 3: 200 used of 200 given.")).to_be_visible()
    page.wait_for_url(lambda url: "cell=4%2C3" in url)
    page.reload()
    expect(page.get_by_text("Layer 4, head 3: 200 used of 200 given.")).to_be_visible()


def test_maps_of_the_pairs_that_are_done_are_drawn_meanwhile(visit):
    visit.open("/many", pack=PACK.name, site="head_z_position")
    page = visit.page
    page.evaluate(MAPS_SEEN)
    run(page)
    counts = [int(count) for count in page.evaluate("[...window.partial]")]
    assert len(counts) >= 2 and counts == sorted(counts) and counts[-1] < 200
    assert page.evaluate(f"({MAP})(0) && !({MAP})(1)")  # the whole map alone is there


def test_a_file_is_uploaded_and_stays_when_one_comes_back(visit):
    visit.open("/many")
    page = visit.page
    page.get_by_role("combobox", name="Pairs").click()
    page.get_by_role("option", name="Your own …").click()
    content = pairs.write(PACK.make()[:3])
    file = {"name": "mine <b>.csv", "mimeType": "text/csv", "buffer": content.encode()}
    page.set_input_files("input[type=file]", file)
    expect(page.get_by_text("Here: mine <b>.csv")).to_be_visible()
    run(page)
    page.get_by_role("link", name="Lens").click()
    expect(page.get_by_role("textbox", name="Clean text")).to_be_visible()
    page.get_by_role("link", name="Many pairs").click()
    expect(page.get_by_role("button", name="All of it: ZIP")).to_be_visible()


@pytest.mark.parametrize("kind", [{}, PHONE], ids=["desk", "phone"])
def test_all_of_it_fits(visitor, kind):
    site = "head_z" if kind else "mlp_out"  # a map that another visitor finished is there at once
    visit = visitor(**kind).open("/many", pack="teaching-gender", site=site)
    visit.assert_fits()
    run(visit.page)
    visit.click(0, 1)
    expect(visit.page.get_by_text("Which pairs disagree?")).to_be_visible()
    visit.assert_fits()
