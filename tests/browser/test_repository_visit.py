"""Any repository of the hub, as a person gets one: from a link to a map and its revisions."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests import builders
from tests.browser.driver import Server, Visit
from tests.stand_in_hub import REPO, StandInHub

HOSTILE = "-7-<b>$x$_y_`z`</b>&lt;!www.a.org@b.org"  # all of it is possible in git


@pytest.fixture
def visit_with_a_hub(browser, pytestconfig, tmp_path) -> Iterator[Visit]:
    folder = builders.write_model_folder(tmp_path / "published")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with StandInHub({}) as hub:
        hub.branches[REPO] = {"main": files, HOSTILE: files}
        settings = {"PATCHBOARD_HUB": "1", "HF_ENDPOINT": hub.url}
        server = Server(pytestconfig.rootpath, tmp_path, **settings)
        try:
            server.wait_until_up()
            visit = Visit(server, browser.new_page())
            yield visit
            visit.page.close()
            assert (visit.other_hosts, visit.complaints) == (set(), [])
        finally:
            server.stop()


def test_a_link_comes_to_a_map_by_two_clicks_and_revisions_are_shown_as_they_are(visit_with_a_hub):
    visit = visit_with_a_hub
    asked = builders.experiment(model=f"{REPO}@{HOSTILE}")
    page = visit.open(**asked.to_query()).asks(asked).page
    page.get_by_role("button", name="Ask the hub about it").click()
    page.get_by_role("button", name="Download 0 MB").click()
    expect(page.locator(".st-key-answer_map .js-plotly-plot").first).to_be_visible()
    page.get_by_role("button", name="List its revisions").click()
    slider = page.get_by_test_id("stSlider").filter(has_text="Revision (1 of 2 here)")
    expect(slider.get_by_role("slider")).to_be_visible()
    assert HOSTILE in slider.inner_text().replace("\u2060", "")
    assert slider.locator("b, a, em, code, .katex").count() == 0
    page.get_by_role("button", name="Model card").click()
    expect(page.get_by_role("cell", name=f"{REPO}@{HOSTILE}")).to_be_visible()
    visit.asks(asked)
