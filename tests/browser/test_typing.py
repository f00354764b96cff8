"""Typing: the page follows, mistakes are told and lose nothing, markup stays text."""

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from core import models
from core.question.tokens import whole_words
from tests.browser.driver import DEFAULT

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> $x$ **b** 漢字 😀 مرحبا"


@pytest.fixture(scope="module")
def another() -> str:
    """The corrupted text with a word in it that the examples have not."""
    words = (word.text for word in whole_words(models.load_tokenizer(models.TEACHING)))
    return DEFAULT.corrupted.replace(" Smith", next(word for word in words if word[1:].istitle()))


def test_leaving_a_field_updates_tokens_and_map(visit, answer, another):
    visit.open().shows(answer(DEFAULT).values)
    visit.type("Corrupted text", another)
    asked = replace(DEFAULT, corrupted=another)
    visit.shows(answer(asked).values).asks(asked)
    place = visit.page.get_by_title("position 1:")
    expect(place).to_contain_text(answer(asked).corrupted[1].label)


def test_ctrl_enter_updates_the_map(visit, answer, another):
    visit.open().shows(answer(DEFAULT).values)
    field = visit.page.get_by_role("textbox", name="Corrupted text")
    field.fill(another)
    field.press("Control+Enter")
    visit.shows(answer(replace(DEFAULT, corrupted=another)).values)


def test_a_metric_is_chosen_with_the_keyboard(visit, answer):
    visit.open().shows(answer(DEFAULT).values)
    metric = visit.page.get_by_role("combobox", name="Metric")
    metric.fill("KL")
    metric.press("Enter")
    visit.shows(answer(replace(DEFAULT, metric="kl")).values)


def test_a_direction_is_chosen_with_the_keyboard(visit, answer):
    visit.open().shows(answer(DEFAULT).values)
    direction = visit.page.get_by_role("combobox", name="Direction")
    direction.fill("Noise")
    direction.press("Enter")
    visit.shows(answer(replace(DEFAULT, direction="noise")).values)


@pytest.mark.parametrize(("field", "side"), [("Target", "clean"), ("Foil", "corrupted")])
def test_what_was_typed_and_a_button_pressed_at_once_both_count(
    visit, answer, another, field, side
):
    """Leaving a field and the click on a button arrive in one run of the page."""
    visit.open().shows(answer(DEFAULT).values)
    page = visit.page
    page.get_by_role("textbox", name="Corrupted text").fill(another)
    page.get_by_role("button", name=f"{side.title()} top token").click()
    top = answer(replace(DEFAULT, corrupted=another)).top[side][0].token.text
    asked = replace(DEFAULT, corrupted=another, **{field.lower(): top})
    visit.asks(asked)
    expect(page.get_by_role("textbox", name=f"{field} token")).to_have_value(top)
    expect(page.get_by_role("textbox", name="Corrupted text")).to_have_value(another)


def test_a_space_is_put_before_what_was_just_typed(visit, answer):
    visit.open(target="Jones").settle()
    page = visit.page
    page.get_by_role("textbox", name="Target token").fill("Michelle")
    page.get_by_role("button", name="Put a space before it").click()
    visit.asks(replace(DEFAULT, target=" Michelle"))


def test_unequal_counts_say_by_how_many_and_where(visit):
    visit.open()
    visit.type("Corrupted text", "Michelle Smith was a student. Michelle")
    expect(visit.problems).to_contain_text("clean 10, corrupted 7. They part at position 1")
    expect(visit.page.get_by_role("textbox", name="Corrupted text")).to_have_value(
        "Michelle Smith was a student. Michelle"
    )
    visit.type("Corrupted text", DEFAULT.corrupted)
    expect(visit.problems).to_have_count(0)


def test_two_edits_in_quick_succession_both_count(visit, answer, another):
    visit.open().shows(answer(DEFAULT).values)
    visit.type("Corrupted text", another)
    visit.type("Target token", " Michelle")
    asked = replace(DEFAULT, corrupted=another, target=" Michelle")
    visit.shows(answer(asked).values).asks(asked)


def test_markup_is_shown_as_it_is(visit, answer):
    texts = {"clean": f"{HOSTILE} Mary is", "corrupted": f"{HOSTILE} John is"}
    asked = replace(DEFAULT, **texts)
    visit.open(**texts).asks(asked)
    page = visit.page
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    ribbon = page.locator("[title^='position ']")
    shown = "".join(ribbon.locator("span:nth-child(2)").all_text_contents())
    assert shown == "".join(piece.label for piece in answer(asked).clean)
    assert shown.startswith(HOSTILE[:54].replace(" ", "·"))
    main = page.get_by_test_id("stMain")
    assert main.locator("script, img, b:text('b')").count() == 0
    page.get_by_role("link", name="Tokens").click()
    expect(page.get_by_role("heading", name="Tokens", exact=True)).to_be_visible()
    visit.asks(asked)
    assert main.locator("script, img").count() == 0


def test_a_megabyte_is_refused_and_the_page_lives_on(visit, answer):
    page = visit.open().shows(answer(DEFAULT).values).page
    visit.type("Clean text", "a" * 1_000_000)
    expect(visit.problems).to_contain_text("1,000,000 characters, which cannot fit")
    visit.type("Clean text", DEFAULT.clean)
    visit.shows(answer(DEFAULT).values).asks(DEFAULT)
    assert page.get_by_role("textbox", name="Clean text").input_value() == DEFAULT.clean


@pytest.mark.parametrize("bad", ["\\u0000", "\\u001b"])
def test_a_character_that_is_none_is_refused_and_the_page_lives_on(visit, answer, bad):
    page = visit.open().shows(answer(DEFAULT).values).page
    field = page.get_by_role("textbox", name="Corrupted text")
    field.evaluate(
        f"""field => {{
          const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;
          set.call(field, "Michelle {bad} Smith");
          field.dispatchEvent(new Event('input', {{bubbles: true}}));
        }}"""
    )
    field.press("Control+Enter")
    expect(visit.problems).to_be_visible()
    visit.type("Corrupted text", DEFAULT.corrupted)
    expect(visit.problems).to_have_count(0)
    visit.shows(answer(DEFAULT).values)


LONG = " met" * 200
SLOW = {
    "model": "local/slow",
    "clean": f"Anna Lee{LONG}",
    "corrupted": f"Anna Poe{LONG}",
    "target": " Lee",
    "foil": " Poe",
}


def test_of_two_people_who_sweep_at_once_the_second_sees_their_place(visitor):
    first, second = visitor().open(**SLOW), visitor().open(**SLOW | {"direction": "noise"})
    first.page.get_by_role("button", name="Run it").click()
    expect(first.page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    second.page.get_by_role("button", name="Run it").click()
    expect(second.page.get_by_text("Work that comes before yours: 1")).to_be_visible()
    first.page.get_by_role("button", name="Cancel", exact=True).click()
    expect(second.page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    expect(second.page.get_by_text("Sweeps that come before yours")).to_have_count(0)
    second.page.get_by_role("button", name="Cancel", exact=True).click()
    expect(second.page.get_by_text("Stopped at")).to_be_visible()


def test_a_slow_sweep_is_begun_when_asked_for_and_can_be_cancelled_and_left(visit):
    page = visit.open(**SLOW).page
    page.get_by_role("button", name="Run it").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("Stopped at")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    visit.type("Clean text", "Anna Lee met Bob. Anna")
    visit.type("Corrupted text", "Anna Poe met Bob. Anna")
    expect(page.get_by_test_id("stDownloadButton").first).to_be_visible()
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    assert len(visit.settle().map()["tokens"]) == 6
