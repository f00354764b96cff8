"""Sets as a person makes them: by clicks on maps, by a button, by typing."""

import re

from playwright.sync_api import expect

from core import catalogue, models
from core.sets import Sets
from core.steps import finish
from tests.pages.test_sets_page import ASKED

TEXTS = ("clean", "corrupted", "target", "foil")


def test_from_the_map_to_a_small_set_that_brings_the_answer_back(visit):
    visit.open("/sets", **{field: getattr(ASKED, field) for field in TEXTS})
    page, box = visit.page, visit.page.get_by_role("textbox", name="The set S")

    def holds(text: str) -> None:
        expect(box).to_have_value(text)
        page.wait_for_function(
            "text => new URL(location).searchParams.get('set') === text", arg=text
        )
        visit.settle()

    assert "6.3" in visit.hover(6, 3)
    visit.click(6, 3)
    holds("6.3")
    visit.click(5, 4)  # the MLPs' column
    holds("6.3 mlp5")
    visit.click(4, 8, number=1)  # below the row of the embedding
    holds("6.3 mlp5 resid3@8")
    visit.click(6, 3)  # once more takes it out
    holds("mlp5 resid3@8")
    box.focus()
    page.keyboard.type(" 9")  # and no key that would end it
    expect(visit.problems).to_contain_text("'9' is no component")
    expect(box).to_have_value("mlp5 resid3@8 9")
    page.get_by_role("button", name=re.compile("Take this set of")).click()
    sets = Sets(ASKED, models.load(catalogue.TEACHING))
    curve = finish(sets.added(sets.everything, "single"))
    members = curve.components[: curve.smallest()]
    assert len(members) <= 8
    holds(" ".join(members))
    share = curve.effects[len(members)].share
    expect(page.get_by_text(re.compile("^Put into the corrupted run,"))).to_contain_text(
        f"({share:.0%})"
    )
