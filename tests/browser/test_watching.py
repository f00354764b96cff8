"""Watching the model learn: Play, and the page as a person sees it meanwhile."""

from dataclasses import replace

from playwright.sync_api import expect

from core import catalogue, models
from tests import builders
from tests.browser.driver import DEFAULT

STEPS = [at.step for at in catalogue.checkpoints(catalogue.TEACHING) if at.seed == 1]
MAP_SINCE = """() => {
  window.seen = [];
  if (window.looks) return;
  window.looks = true;
  let since = null;
  const look = () => {
    const place = document.querySelector(".st-key-answer_map");
    const maps = place?.querySelectorAll(".js-plotly-plot, .pb-picture") ?? [];
    const answered = document.querySelector(".pb-answered");
    const model = answered && new URLSearchParams(answered.dataset.experiment).get("model");
    const has = [...maps].some(map => map.checkVisibility());
    const asked = new URLSearchParams(document.querySelector(".pb-asked")?.dataset.experiment);
    since = asked.get("model") === model ? null : since ?? performance.now();
    const isFormer = document.documentElement.className.includes("pb-former");
    const isSlow = since !== null && performance.now() - since > 1400;  // a machine with other work
    window.seen.push([model, has, isFormer && !isSlow]);
    requestAnimationFrame(look);
  };
  look();
}"""


def test_play_shows_each_step_with_a_map_at_every_moment(visit):
    visit.open(model="teaching@seed1-step0")
    page = visit.page
    expect(page.get_by_role("slider", name="Training step")).to_be_visible()
    play = page.get_by_role("button", name="Play")
    for _ in range(2):  # the second time all has been computed, and nothing is dimmed
        page.evaluate(MAP_SINCE)
        play.click()
        page.wait_for_function(
            """([first, last]) => window.seen.some(([name]) => name === first)
              && window.seen.at(-1)[0] === last""",
            arg=[f"teaching@seed1-step{step}" for step in (STEPS[0], STEPS[-1])],
        )
        expect(play).to_be_visible()
    seen = page.evaluate("window.seen")
    shown = list(dict.fromkeys(model for model, _, _ in seen if model))
    assert sorted(shown) == sorted(f"teaching@seed1-step{step}" for step in STEPS)
    assert all(has for _, has, _ in seen), "there was a moment without a map"
    assert not any(former for _, _, former in seen), "the page was dimmed"
    page.wait_for_url(f"**/*seed1-step{STEPS[-1]}*")


def test_pause_stays_at_the_step_that_is_shown_and_a_reload_comes_back_to_it(visit):
    visit.open(model="teaching@seed1-step0")
    page = visit.page
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    visit.settle()
    now = page.get_by_role("slider", name="Training step").get_attribute("aria-valuetext")
    page.wait_for_timeout(1500)
    assert page.get_by_role("slider", name="Training step").get_attribute("aria-valuetext") == now
    page.reload()
    slider = page.get_by_role("slider", name="Training step")
    expect(slider).to_have_attribute("aria-valuetext", now)


def test_keys_on_the_slider_step_through_the_training(visit):
    visit.open(model="teaching@seed1-step0")
    page = visit.page
    page.get_by_role("slider", name="Training step").focus()
    page.keyboard.press("ArrowRight")
    asked = replace(DEFAULT, model=f"teaching@seed1-step{STEPS[1]}")
    model = models.load(catalogue.named(asked.model))
    visit.asks(asked).shows(builders.finished(asked, model).read(asked).values)
