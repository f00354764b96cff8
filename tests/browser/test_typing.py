"""Typing: the page follows, mistakes are told and lose nothing, markup stays text."""

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from core import catalogue, models
from core.question.tokens import whole_words
from core.views import exports
from tests import builders
from tests.browser.driver import DEFAULT

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> $x$ **b** 漢字 😀 مرحبا"


@pytest.fixture(scope="module")
def another() -> str:
    """The corrupted text with a word in it that the examples have not."""
    words = (word.text for word in whole_words(models.load_tokenizer(catalogue.TEACHING)))
    return DEFAULT.corrupted.replace(" Smith", next(word for word in words if word[1:].istitle()))


def test_leaving_a_field_updates_tokens_and_map(visit, answer, another):
    visit.open().shows(answer(DEFAULT).values)
    visit.type("Corrupted text", another)
    asked = replace(DEFAULT, corrupted=another)
    visit.shows(answer(asked).values).asks(asked)
    place = visit.page.get_by_title("position 1:")
    expect(place).to_contain_text(answer(asked).corrupted[1].label)


def test_metric_and_direction_are_chosen_with_the_keyboard(visit, answer):
    visit.open().shows(answer(DEFAULT).values)
    asked = DEFAULT
    for name, value in (("Metric", "KL"), ("Direction", "Noise")):
        box = visit.page.get_by_role("combobox", name=name)
        box.fill(value)
        expect(visit.page.get_by_role("option").first).to_contain_text(value)
        box.press("Enter")
        asked = replace(asked, **{name.lower(): value.lower()})
        visit.shows(answer(asked).values)


def test_what_was_typed_and_a_button_pressed_at_once_both_count(visit, answer, another):
    """Leaving a field and the click on a button arrive in one run of the page."""
    asked = replace(DEFAULT, target=" the", foil=" a")
    page = visit.open(**asked.to_query()).asks(asked).page
    for field, side, typed in (
        ("target", "clean", another),
        ("foil", "corrupted", another.replace("student", "teacher")),
    ):
        page.get_by_role("textbox", name="Corrupted text").fill(typed)
        page.get_by_role("button", name=f"{side.title()} top token").click()
        top = answer(replace(DEFAULT, corrupted=typed)).top[side][0].token.text
        visit.asks(asked := replace(asked, corrupted=typed, **{field: top}))
        expect(page.get_by_role("textbox", name=f"{field.title()} token")).to_have_value(top)
        expect(page.get_by_role("textbox", name="Corrupted text")).to_have_value(typed)


def test_what_was_typed_and_a_link_pressed_at_once_both_count(visit, answer):
    page = visit.open().shows(answer(DEFAULT).values).page
    for link, surname in (("Lens", "Cook"), ("Compare", "Hill"), ("Tokens", "Brown")):
        asked = replace(DEFAULT, corrupted=DEFAULT.corrupted.replace("Smith", surname))
        visit.keys("Corrupted text", asked.corrupted)
        visit.follow(link)
        page.wait_for_url(f"{visit.server.url}/{link.lower()}?*")
        visit.asks(asked)
        visit.follow("Patch")
        visit.shows(answer(asked).values).asks(asked)
        expect(page.get_by_role("textbox", name="Corrupted text")).to_have_value(asked.corrupted)


def test_what_is_typed_makes_the_map_a_former_one_until_it_is_answered(visit, answer, another):
    """A click on a cell or a file then finds either the new map or no file at all."""
    page = visit.open().shows(answer(DEFAULT).values).page
    place = visit.cell(3, 9)
    assert not visit.is_former
    visit.keys("Corrupted text", another)
    assert visit.is_former
    files = page.get_by_test_id("stDownloadButton")
    expect(page.get_by_text("of your former texts")).to_be_visible()
    assert files.first.evaluate("file => file.closest('[inert]') !== null")
    page.mouse.move(place[0] - 3, place[1])
    page.mouse.click(*place)
    asked = replace(DEFAULT, corrupted=another)
    visit.shows(answer(asked).values).asks(asked)
    page.wait_for_function("!document.documentElement.classList.contains('pb-former')")
    with page.expect_download() as started:
        files.filter(has_text="JSON").get_by_role("button").click()
    assert exports.from_json(started.value.path().read_text("utf-8")).experiment == asked
    visit.keys("Target token", "two words")
    page.keyboard.press("Enter")
    expect(visit.problems).to_contain_text("must be one token")
    assert visit.is_former  # and stays so, with the map of what could be answered
    expect(page.get_by_text("of your former target", exact=True)).to_be_visible()
    visit.shows(answer(asked).values)
    visit.keys("Target token", asked.target)
    page.wait_for_function("!document.documentElement.classList.contains('pb-former')")


def test_enter_applies_a_pause_does_too_and_shift_enter_is_a_newline(visit, answer, another):
    page = visit.open().shows(answer(DEFAULT).values).page
    visit.keys("Corrupted text", another)
    page.keyboard.press("Enter")
    asked = replace(DEFAULT, corrupted=another)
    visit.shows(answer(asked).values).asks(asked)
    visit.keys("Corrupted text", DEFAULT.corrupted)
    visit.shows(answer(DEFAULT).values).asks(DEFAULT)
    page.keyboard.press("Shift+Enter")
    visit.asks(replace(DEFAULT, corrupted=f"{DEFAULT.corrupted}\n"))
    page.get_by_role("button", name="Ends with a newline: drop it").click()
    visit.asks(DEFAULT)


def test_an_edit_moves_nothing_and_there_is_a_map_at_every_moment(visit, answer, another):
    page = visit.open().shows(answer(DEFAULT).values).page
    page.wait_for_timeout(500)  # until the picture of the map is taken
    page.evaluate(
        """() => {
          window.shifts = [], window.without = 0;
          const what = source => [source.node?.className, source.previousRect, source.currentRect];
          const watch = list => list.getEntries().forEach(entry => window.shifts.push(
            [entry.value, JSON.stringify(entry.sources.map(what))]));
          new PerformanceObserver(watch).observe({type: 'layout-shift'});
          const look = () => {
            const place = document.querySelector('.st-key-answer_map');
            const maps = place.querySelectorAll('.stPlotlyChart, .pb-picture');
            window.without += ![...maps].some(map =>
              map.checkVisibility() && map.getBoundingClientRect().height > 300
              && map.querySelector('.xaxislayer-above'));
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    visit.keys("Corrupted text", another)
    page.keyboard.press("Enter")
    asked = replace(DEFAULT, corrupted=another)
    visit.shows(answer(asked).values).asks(asked)
    shifts = page.evaluate("window.shifts")
    assert sum(value for value, _ in shifts) < 0.02, shifts
    visit.click(3, 1)
    expect(page.get_by_text("Patched run")).to_be_visible()
    assert visit.settle().page.evaluate("window.without") == 0
    chart, picture = page.get_by_test_id("stPlotlyChart").first, page.locator(".pb-picture")
    page.wait_for_timeout(500)
    chart.evaluate("chart => (chart.style.display = 'none')")  # as it is between two maps
    expect(picture).to_be_visible()
    chart.evaluate("chart => (chart.style.display = '')")
    expect(picture).to_have_count(0)


def test_the_numbers_of_one_model_never_stand_under_the_name_of_another(visit, answer):
    page = visit.open(corrupted=DEFAULT.corrupted).shows(answer(DEFAULT).values).page
    box = page.get_by_role("combobox", name="Model")
    box.fill("local/slow")
    box.press("Enter")
    page.wait_for_function(
        """() => {
          const asked = document.querySelector('.pb-asked')?.dataset.experiment ?? '';
          return asked.includes('slow');
        }"""
    )
    place = page.locator(".st-key-answer_map")
    assert place.evaluate_all(
        """places => places.every(place => getComputedStyle(place).visibility === 'hidden'
             || document.querySelector('.pb-answered').dataset.experiment.includes('slow'))"""
    )


def test_a_space_is_put_before_what_was_just_typed(visit, answer):
    visit.open(target="Jones").settle()
    page = visit.page
    page.get_by_role("textbox", name="Target token").fill("Michelle")
    page.get_by_role("button", name="Put a space before it").click()
    visit.asks(replace(DEFAULT, target=" Michelle"))


def test_a_click_counts_even_if_the_page_is_drawn_anew_under_the_pressed_mouse(visit):
    page = visit.open(corrupted=DEFAULT.corrupted.replace(" Smith", " Smith Cook")).settle().page
    fix = page.get_by_role("button", name="·Smith·Cook → ·Smith")
    expect(fix).to_be_visible()
    visit.keys("Target token", " Jonesx")
    before = fix.bounding_box()
    page.mouse.move(before["x"] + 9, before["y"] + 9)
    page.mouse.down()
    expect(page.get_by_text("must be one token")).to_be_visible()
    assert fix.bounding_box()["y"] > before["y"] + 9  # another thing is under the mouse now
    page.mouse.up()
    expect(page.get_by_role("textbox", name="Corrupted text")).to_have_value(DEFAULT.corrupted)
    expect(page.get_by_role("textbox", name="Target token")).to_have_value(" Jonesx")


def test_two_edits_in_quick_succession_both_count(visit, answer, another):
    visit.open().shows(answer(DEFAULT).values)
    visit.type("Corrupted text", another)
    visit.type("Target token", " Michelle")
    asked = replace(DEFAULT, corrupted=another, target=" Michelle")
    visit.shows(answer(asked).values).asks(asked)


def test_what_was_typed_just_before_a_reload_is_still_there(visit, answer, another):
    page = visit.open().shows(answer(DEFAULT).values).page
    page.get_by_role("textbox", name="Corrupted text").fill(another)
    page.reload()
    asked = replace(DEFAULT, corrupted=another)
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
    assert main.locator("img, b:text('b')").count() == 0
    scripts = main.locator("script").evaluate_all("all => all.map(one => one.textContent)")
    assert all("window.patchboard" in script for script in scripts)  # that of the page itself
    visit.follow("Tokens")
    expect(page.get_by_role("heading", name="Tokens", exact=True)).to_be_visible()
    visit.asks(asked)
    assert main.locator("img").count() == 0


@pytest.mark.parametrize(
    ("bad", "says"),
    [("a" * 1_000_000, "1,000,000 characters, which cannot fit"), ("Mary\0", "U+0000")],
    ids=["a megabyte", "no character"],
)
def test_what_is_no_text_is_refused_and_the_page_lives_on(visit, answer, bad, says):
    field = (
        visit.open().shows(answer(DEFAULT).values).page.get_by_role("textbox", name="Clean text")
    )
    field.evaluate(  # `fill` takes no such character
        """(field, bad) => {
          const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;
          set.call(field, bad);
          field.dispatchEvent(new Event('input', {bubbles: true}));
        }""",
        bad,
    )
    field.press("Control+Enter")
    expect(visit.problems).to_contain_text(says)
    visit.type("Clean text", DEFAULT.clean)
    visit.shows(answer(DEFAULT).values).asks(DEFAULT)
    expect(visit.problems).to_have_count(0)


LONG = " met" * 250
SLOW = builders.experiment(
    model="local/slow", clean=f"Anna Lee{LONG}", corrupted=f"Anna Poe{LONG}"
).to_query()


def test_of_two_people_who_sweep_at_once_the_second_sees_their_place(visitor):
    first, second = visitor().open(**SLOW), visitor().open(**SLOW | {"direction": "noise"})
    first.page.get_by_role("button", name="Run it").click()
    expect(first.page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    second.page.get_by_role("button", name="Run it").click()
    expect(second.page.get_by_text("Work that comes before yours: 1")).to_be_visible()
    first.page.get_by_role("button", name="Cancel", exact=True).click()
    expect(second.page.get_by_role("button", name="Cancel", exact=True)).to_be_visible()
    expect(second.page.get_by_text("Work that comes before yours")).to_have_count(0)
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
