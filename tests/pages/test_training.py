"""Watching the model learn: a slider over its checkpoints, Play, and the page that tells of it."""

import pytest

from core import catalogue, models
from core.teaching import growth
from tests.pages.conftest import text_of

STEPS = [at.step for at in catalogue.checkpoints(catalogue.TEACHING) if at.seed == 0]
MIDDLE = STEPS[len(STEPS) // 2]


@pytest.mark.parametrize("page", ["patch", "components"])
def test_a_step_is_the_model_of_all_that_the_page_shows(open_app, page):
    app = open_app()
    before = app.query
    app.go_to(page)
    app.widget("watches_training").set_value(True)
    app.run()
    assert app.experiment.model == "teaching"
    app.widget("training_step").set_value(MIDDLE)
    app.run()
    name = f"teaching@seed0-step{MIDDLE}"
    assert app.experiment.model == app.answered.model == app.query["model"] == name
    assert app.widget("field_model").value == "teaching"
    app.widget("training_seed").set_value(1)
    app.run()
    assert app.query["model"] == f"teaching@seed1-step{MIDDLE}"
    app.widget("watches_training").set_value(False)
    app.run()
    assert app.query == before and not app.has("training_step")


def test_an_address_opens_at_its_step_and_another_page_keeps_it(open_app):
    name = f"teaching@seed1-step{MIDDLE}"
    app = open_app(model=name)
    assert (app.widget("training_step").value, app.widget("training_seed").value) == (MIDDLE, 1)
    assert app.go_to("lens").experiment.model == name
    assert app.go_to("components").widget("training_step").value == MIDDLE


def test_maps_differ_from_step_to_step_and_those_seen_are_kept(open_app, monkeypatch):
    app = open_app(model=f"teaching@seed0-step{MIDDLE}")
    first = app.maps[0]["data"][0]["z"]
    app.widget("training_step").set_value(0)
    assert app.run().maps[0]["data"][0]["z"] != first

    def load_again(*_, **__):
        raise AssertionError("a checkpoint is loaded twice")

    monkeypatch.setattr(models, "load", load_again)
    app.widget("training_step").set_value(MIDDLE)
    assert app.run().maps[0]["data"][0]["z"] == first


def test_play_offers_each_next_step_to_the_browser_from_the_first_to_the_last(open_app):
    """Which presses it once a step is drawn; the address stays, or each would be one to go back
    to."""
    app = open_app(model=f"teaching@seed0-step{STEPS[-2]}")
    before = app.query
    assert "Next step" not in app.buttons
    app.press("Play").press("Next step")
    assert app.query["model"] == app.answered.model == "teaching"
    assert "Play" in app.buttons and "Next step" not in app.buttons
    shown = []
    app.press("Play")  # once more, from the beginning
    while "Next step" in app.buttons:
        shown.append(app.widget("training_step").value)
        assert app.query["model"] == "teaching"
        app.press("Next step")
    assert shown == STEPS[:-1]
    app.press("Play").press("Pause")
    assert app.query == before | {"model": "teaching@seed0-step0"}


def test_a_slider_that_still_tells_of_the_step_before_does_not_stop_play(open_app):
    """As of a browser that is slow to draw, when it presses for the next step."""
    app = open_app(model="teaching@seed0-step0").press("Play").press("Next step")
    app.widget("training_step").set_value(STEPS[0])
    app.press("Next step")
    assert "Pause" in app.buttons and app.widget("training_step").value == STEPS[2]
    app.widget("training_step").set_value(STEPS[0])  # and a person does
    app.run()
    assert "Play" in app.buttons and app.widget("training_step").value == STEPS[0]


def test_another_page_does_not_play_on(open_app):
    app = open_app(model="teaching@seed0-step0").press("Play")
    app.go_to("components")
    assert "Next step" not in app.buttons and "Play" in app.buttons


def test_the_panel_says_what_the_model_could_do_at_the_step_and_where_it_came_about(open_app):
    app = open_app(model=f"teaching@seed1-step{MIDDLE}")
    (table,) = [body for body in app.bodies if "pb-growth" in body]
    says = text_of(table)
    for name, checkpoints in growth.shipped().behaviours.items():
        steps = {at.step: grown for at, grown in checkpoints.items() if at.seed == 1}
        assert f"{steps[MIDDLE].beats_all:.0%}" in says.partition(name)[2]
        first = growth.since(steps)
        if first is not None:
            layer, head = steps[first].head
            assert f"step {first:,}: " in says and f"by head {head} of layer {layer}" in says
    assert table.count("pb-now") == len(growth.shipped().behaviours)


def test_no_other_model_has_steps(open_app, tmp_path):
    app = open_app(model="gpt2")
    assert not app.has("watches_training") and not app.has("training_step")


def test_the_page_tells_what_came_when_and_links_to_the_maps(open_app):
    app = open_app().go_to("training")
    for seed in (0, 1):
        said = " ".join(app.texts)
        for name, checkpoints in growth.shipped().behaviours.items():
            steps = {at.step: grown for at, grown in checkpoints.items() if at.seed == seed}
            first = growth.since(steps)
            assert first is not None, "every behaviour comes in the end"
            assert f"{name.capitalize()}: {steps[first].beats_all:.0%} of the pairs" in said
        links = [node.proto for node in app.at.get("page_link")]
        assert links
        for link in links:
            assert "model=teaching" in link.query_string
        app.at.segmented_control[0].set_value(1)
        app.run()
