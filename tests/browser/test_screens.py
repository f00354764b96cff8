"""Light, dark and on a phone: nothing sticks out.

The screenshots are in pytest's temporary folder, for a person to look at.
"""

from dataclasses import replace

import pytest
from playwright.sync_api import expect

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
    visit.click(3, 1)
    expect(visit.page.get_by_text("Patched run")).to_be_visible()
    visit.settle().page.screenshot(path=tmp_path / "chosen.png")
    visit.assert_fits()


@pytest.mark.parametrize("changes", AWKWARD.values(), ids=AWKWARD)
def test_a_phone_shows_everything_within_its_width(visitor, tmp_path, changes):
    asked = replace(DEFAULT, **changes)
    visit = visitor(**PHONE).open(**asked.to_query()).asks(asked)
    visit.page.screenshot(path=tmp_path / "page.png")
    visit.assert_fits()
