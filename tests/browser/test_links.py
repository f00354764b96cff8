"""Addresses: every page opens cold, and the address always holds the experiment."""

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from core.presets import PRESETS
from tests import builders
from tests.browser.driver import DEFAULT, NAME_OF_MARKUP, PHONE, Server, Visit

ASKED = replace(
    PRESETS[4].experiment("teaching"), metric="target_prob", direction="noise", embedding=False
)
HEADINGS = {
    "/": "Which activation carries the answer?",
    "/components": "Which component?",
    "/lens": "What was it going to say?",
    "/compare": "How do two answers compare?",
    "/how_it_works": "How it works",
    "/tokens": "Tokens",
    "/is_it_right": "Is it right?",
}


@pytest.mark.parametrize("path", HEADINGS)
def test_a_page_opens_cold_from_its_address_and_fits_a_phone(visitor, tmp_path, path):
    visit = visitor(**PHONE).open(path, **ASKED.to_query())
    expect(visit.page.get_by_role("heading", name=HEADINGS[path], exact=True)).to_be_visible()
    visit.asks(ASKED)
    assert visit.page.url.startswith(f"{visit.server.url}{path}?")
    visit.page.screenshot(path=tmp_path / "page.png")
    visit.assert_fits()


def test_a_name_in_a_link_is_shown_as_it_is_on_every_page(visit):
    """What looks like an image in it would make the browser ask for one."""
    name = f"local/{NAME_OF_MARKUP}"
    asked = builders.experiment(model=name)
    for path in HEADINGS:
        visit.open(path, **asked.to_query()).asks(asked)
        expect(visit.page.get_by_role("combobox", name="Model")).to_have_value(name)
    visit.page.get_by_role("button", name="Check it").click()
    expect(visit.page.get_by_text("checks passed")).to_be_visible()
    assert not [url for url in visit.requests if url.endswith("x.png")]
    assert visit.page.locator("img[src*='x.png']").count() == 0


def test_a_link_to_another_page_may_be_the_first_visit_to_a_server(browser, pytestconfig, tmp_path):
    server = Server(pytestconfig.rootpath, tmp_path)
    try:
        server.wait_until_up()
        visit = Visit(server, browser.new_page())
        visit.open("/lens", **ASKED.to_query())
        expect(visit.page.get_by_role("heading", name=HEADINGS["/lens"])).to_be_visible()
        expect(visit.page.get_by_role("dialog")).to_have_count(0)
        visit.page.close()
    finally:
        server.stop()


def test_a_fresh_browser_with_the_address_shows_the_same_map(visitor, answer):
    first = visitor().open()
    first.page.get_by_role("button", name="She or he").click()
    preset = next(preset for preset in PRESETS if preset.title == "She or he")
    expected = preset.experiment("teaching")
    first.asks(expected).shows(answer(expected).values)
    second = visitor("new")
    second.page.goto(first.page.url)
    second.shows(answer(expected).values)
    assert second.map() == first.map()


def test_the_pages_keep_the_experiment(visit, answer):
    visit.open(**ASKED.to_query()).shows(answer(ASKED).values)
    for page in ("How it works", "Tokens", "Is it right?", "Patch"):
        visit.page.get_by_role("link", name=page).click()
        visit.page.wait_for_url(
            f"**/{'' if page == 'Patch' else page.lower()[:6]}*".replace(" ", "_")
        )
        visit.asks(ASKED)
    visit.shows(answer(ASKED).values)


def test_back_and_forward_walk_through_the_experiments(visit, answer):
    page = visit.open(**ASKED.to_query()).asks(ASKED).page
    page.get_by_role("button", name=PRESETS[0].title).click()
    visit.asks(DEFAULT).shows(answer(DEFAULT).values)
    another = replace(DEFAULT, target=" Michelle")
    visit.type("Target token", another.target)
    visit.asks(another)
    walk = [(page.go_back, DEFAULT), (page.go_back, ASKED), (page.go_forward, DEFAULT)]
    for step, expected in walk:
        page.wait_for_timeout(600)  # an address that has just been written is still on its way
        step()
        visit.asks(expected).shows(answer(expected).values)
        for field, text in (("Clean text", expected.clean), ("Target token", expected.target)):
            expect(page.get_by_role("textbox", name=field)).to_have_value(text)


def test_after_a_restart_of_the_server_the_first_edit_counts(browser, pytestconfig, tmp_path):
    server = Server(pytestconfig.rootpath, tmp_path)
    try:
        server.wait_until_up()
        visit = Visit(server, browser.new_page())
        visit.open(**ASKED.to_query()).asks(ASKED)
        server.restart()
        another = replace(ASKED, foil=" London")
        visit.type("Foil token", another.foil)
        visit.asks(another)
        expect(visit.page.get_by_role("textbox", name="Foil token")).to_have_value(" London")
        visit.page.close()
    finally:
        server.stop()


def test_an_address_with_an_unknown_value_says_so(visit, answer):
    visit.open(metric="accuracy", model="gpt-9").shows(answer(DEFAULT).values)
    notes = visit.page.get_by_test_id("stMain").get_by_role("status")
    expect(notes.filter(has_text="There is no metric 'accuracy'")).to_be_visible()
    expect(notes.filter(has_text="There is no model 'gpt-9'")).to_be_visible()
