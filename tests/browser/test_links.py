"""Addresses: every page opens cold, and the address always holds the experiment."""

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from core.presets import PRESETS
from tests import builders
from tests.browser.driver import DEFAULT, NAME_OF_MARKUP, PHONE, Server, Visit

ASKED = replace(
    PRESETS[4].experiment("teaching"), metric="target_prob", direction="noise", embedding=False
)
# Each as much as a step of a trail holds.
HOSTILE = ["![i](//h.invalid/x)", "[l](//host.invalid) http://host.invalid"]
HOSTILE += ["a@host.invalid www.host.invalid :smile:", "a->b <- c -- d :material/home: :red[x]"]
HOSTILE += ["1. <img src=//host.invalid/x.png>", "- *x* _y_ `z` $q$ # h"]
HOSTILE_TEXTS = {"clean": f"{HOSTILE[0]}a", "corrupted": f"{HOSTILE[0]}b"}
HEADINGS = {
    "/": "Which activation carries the answer?",
    "/components": "Which component?",
    "/many": "Does it hold for many sentences?",
    "/follow": "What feeds it?",
    "/sets": "Which few carry it together?",
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
    """Nor is anything else that a link says: what looks like an image would make the browser ask
    another host for one."""
    name = f"local/{NAME_OF_MARKUP}"
    asked = replace(builders.experiment(model=name), **HOSTILE_TEXTS)
    said = asked.to_query() | {"trail": ",".join((*HOSTILE, "logits")), "pack": HOSTILE[0]}
    for path in (*HEADINGS, "/training"):
        visit.open(path, **said).asks(asked)
        expect(visit.page.get_by_role("combobox", name="Model")).to_have_value(name)
        assert visit.page.locator(".stApp :is(img, a[href*='invalid'])").count() == 0
        if path == "/follow":
            for number, text in enumerate(HOSTILE):  # as they are
                step = visit.page.locator(
                    f".st-key-trail_{number} [data-testid=stMarkdownContainer]"
                )
                assert step.inner_text().replace("\u2060", "") == text
    assert not [url for url in visit.requests if urlsplit(url).path.endswith("x.png")]


@pytest.fixture
def first_visit(browser, pytestconfig, tmp_path) -> Iterator[Visit]:
    """That to a server of its own."""
    server = Server(pytestconfig.rootpath, tmp_path)
    try:
        server.wait_until_up()
        visit = Visit(server, browser.new_page())
        yield visit
        visit.page.close()
    finally:
        server.stop()


def test_a_link_to_another_page_may_be_the_first_visit_to_a_server(first_visit):
    page = first_visit.open("/lens", **ASKED.to_query()).page
    expect(page.get_by_role("heading", name=HEADINGS["/lens"])).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_after_a_restart_of_the_server_the_first_edit_counts(first_visit):
    first_visit.open(**ASKED.to_query()).asks(ASKED)
    first_visit.server.restart()
    first_visit.type("Foil token", " London")
    first_visit.asks(replace(ASKED, foil=" London"))
    foil = first_visit.page.get_by_role("textbox", name="Foil token")
    expect(foil).to_have_value(" London")


def test_a_whole_visit_keeps_the_experiment_and_asks_nothing_of_another_host(visit, answer):
    visit.open(**ASKED.to_query()).shows(answer(ASKED).values).click(3, 1)
    page = visit.page
    expect(page.get_by_text("Patched run")).to_be_visible()
    with page.expect_download():
        page.get_by_test_id("stDownloadButton").first.get_by_role("button").click()
    for path, name in (("how_it_works", "How it works"), ("tokens", "Tokens"), ("", "Patch")):
        visit.follow(name)
        page.wait_for_url(f"{visit.server.url}/{path}?*")
        visit.asks(ASKED)
    visit.shows(answer(ASKED).values)
    visit.follow("Is it right?")
    expect(page.get_by_text("checks passed")).to_be_visible()
    page.get_by_role("button", name=PRESETS[0].title).click()
    visit.asks(DEFAULT)
    expect(page.get_by_role("textbox", name="Clean text")).to_be_visible()
    assert len(visit.requests) > 10
    assert visit.other_hosts == set()


def test_back_and_forward_walk_through_the_experiments(visit, answer):
    page = visit.open(**ASKED.to_query()).asks(ASKED).page
    page.get_by_role("button", name=PRESETS[0].title).click()
    visit.asks(DEFAULT).shows(answer(DEFAULT).values)
    another = replace(DEFAULT, target=" Michelle")
    for text in (" Mi", " Michelle"):  # of what is typed into one field only the last is kept
        visit.keys("Target token", text)
        visit.asks(replace(DEFAULT, target=text))
    visit.click(2, 1)  # nor is a step what only looks at the same map
    page.wait_for_url(re.compile("cell="))
    page.get_by_role("link", name="Lens").click()
    page.wait_for_url(re.compile("/lens.clean"))
    visit.asks(another)
    walk = [(page.go_back, another), (page.go_back, DEFAULT), (page.go_back, ASKED)]
    walk.append((page.go_forward, DEFAULT))
    for step, expected in walk:
        page.wait_for_timeout(600)  # an address that has just been written is still on its way
        step()
        visit.asks(expected).shows(answer(expected).values)
        for field, text in (("Clean text", expected.clean), ("Target token", expected.target)):
            expect(page.get_by_role("textbox", name=field)).to_have_value(text)


def test_a_copied_link_opens_as_the_page_it_was_copied_from(visitor, answer):
    """Even if what is in a field has been typed just before."""
    visit = visitor(permissions=["clipboard-read", "clipboard-write"]).open(**ASKED.to_query())
    visit.shows(answer(ASKED).values).click(3, 1)
    visit.page.wait_for_url(re.compile("cell="))
    typed = replace(ASKED, target=" London")
    visit.keys("Target token", typed.target)
    visit.page.get_by_role("button", name="Copy link").click()
    expect(visit.page.get_by_role("button", name="Copied")).to_be_visible()
    link = visit.page.evaluate("navigator.clipboard.readText()")
    visit.page.goto(link)
    assert visit.asks(typed).shows(answer(typed).values).map()["frames"] == [[3, 1], [3, 1]]


@pytest.mark.parametrize("how", [{"button": "middle"}, {"modifiers": ["Control"]}], ids=str)
def test_a_page_opened_in_another_tab_is_of_the_same_experiment(visit, answer, how):
    visit.open(**ASKED.to_query()).shows(answer(ASKED).values)
    with visit.page.context.expect_page() as opened:
        visit.page.get_by_role("link", name="Lens", exact=True).click(**how)
    Visit(visit.server, opened.value).asks(ASKED)
    assert "/lens?" in opened.value.url
    opened.value.close()
    assert "/lens" not in visit.asks(ASKED).page.url
