"""Light, dark and on a phone: nothing sticks out.

The screenshots are in pytest's temporary folder, for a person to look at.
"""

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from core.presets import PRESETS
from tests.browser.driver import DEFAULT, PHONE

LOOKS = {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}, "phone": PHONE}
AWKWARD = {
    "a long text": {
        "clean": f"Mary {'and John ' * 30}went to the store. Mary",
        "corrupted": f"John {'and John ' * 30}went to the store. Mary",
    },
    "a word without end": {"clean": "x" * 60, "corrupted": "y" + "x" * 59, "metric": "recovery"},
    "mistakes": {"corrupted": "Michelle" + "x" * 80, "target": "many words"},
    "a model to download": {"model": "gpt2"},
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_with_a_chosen_cell_fits_the_window(visitor, answer, tmp_path, look):
    visit = visitor(**LOOKS[look]).open().shows(answer(DEFAULT).values)
    visit.page.screenshot(path=tmp_path / "opened.png")
    visit.assert_fits()
    choose = visit.tap if look == "phone" else visit.click
    choose(3, 1)
    expect(visit.page.get_by_text("With the resid_post of layer 2 at position 1")).to_be_visible()
    expect(visit.page.get_by_text("Patched run")).to_be_visible()
    visit.settle().page.screenshot(path=tmp_path / "chosen.png")
    visit.assert_fits()


# Every text of the page and how it stands out from what is behind it (WCAG 2's contrast ratio),
# without pictures, and what is switched off.
CONTRASTS = """() => {
  const channels = colour => {
    const numbers = colour.match(/[\\d.]+/g).map(Number);
    const scale = colour.startsWith('color(') ? 255 : 1;
    return [...numbers.slice(0, 3).map(c => c * scale), numbers[3] ?? 1];
  };
  const over = (top, below, opacity = 1) => {
    const alpha = top[3] * opacity;
    return [0, 1, 2].map(i => top[i] * alpha + below[i] * (1 - alpha)).concat(1);
  };
  const luminance = colour => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const c = colour[i] / 255;
    return sum + weight * (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  }, 0);
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({opacityProperty: true})
        || element.closest('svg, script, style, [disabled], [data-testid=stIconMaterial]')
        || element.getBoundingClientRect().width <= 1) continue;
    const around = [];
    for (let box = element; box; box = box.parentElement) around.unshift(getComputedStyle(box));
    const behind = around.reduce(
      (below, style) => over(channels(style.backgroundColor), below), [255, 255, 255, 1]);
    const opacity = around.reduce((product, style) => product * style.opacity, 1);
    const pair = [behind, over(channels(getComputedStyle(element).color), behind, opacity)];
    const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
    found.push([(light + 0.05) / (dark + 0.05), texts.currentNode.data.trim()]);
  }
  return found;
}"""


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/tokens", "/how_it_works"])
def test_every_text_stands_out_from_what_is_behind_it(visitor, path, look):
    visit = (
        visitor(**LOOKS[look])
        .open(path, corrupted="Michelle", cell="2,1")
        .asks(replace(DEFAULT, corrupted="Michelle"))
    )
    visit.page.wait_for_function(f"({CONTRASTS})().length > 15")  # parts are drawn one by one
    ratios = visit.page.evaluate(CONTRASTS)
    assert [(round(ratio, 2), text) for ratio, text in ratios if ratio < 4.5] == []


@pytest.mark.parametrize("size", [(1366, 768), (1280, 800)], ids=str)
def test_the_whole_map_and_the_ways_on_from_a_cell_are_on_the_first_screen(visitor, answer, size):
    width, height = size
    visit = visitor(viewport={"width": width, "height": height}).open(cell="2,1")
    visit.shows(answer(DEFAULT).values)
    for part in ("inputs", "onward", "answer_map", "answer_baselines"):
        box = visit.page.locator(f".st-key-{part}").bounding_box()
        assert 0 < box["y"] and box["y"] + box["height"] <= height, part


def test_a_phone_begins_with_where_the_texts_differ_and_with_the_map(visitor, answer):
    asked = PRESETS[3].experiment("teaching")
    visit = visitor(**PHONE).open(**asked.to_query()).shows(answer(asked).values)
    place = visit.page.get_by_title("position 9:").bounding_box()
    assert 0 < place["x"] and place["x"] + place["width"] <= PHONE["viewport"]["width"]
    assert visit.page.locator(".st-key-answer_map").bounding_box()["y"] < 900


@pytest.mark.parametrize("changes", AWKWARD.values(), ids=AWKWARD)
def test_a_phone_shows_everything_within_its_width(visitor, tmp_path, changes):
    asked = replace(DEFAULT, **changes)
    visit = visitor(**PHONE).open(**asked.to_query()).asks(asked)
    visit.page.screenshot(path=tmp_path / "page.png")
    visit.assert_fits()
