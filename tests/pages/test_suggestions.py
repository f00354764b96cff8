"""The pair doctor: how both tokens stand, and what to ask instead, a click each."""

from dataclasses import replace

import pytest

from core.presets import PRESETS
from core.views.words import probability
from tests.pages.conftest import text_of

ASKED = PRESETS[0].experiment("teaching")
LONGER = ASKED.corrupted.replace("Smith", "Smithson")


def standings(app) -> list[str]:
    """Of target and foil, rank and probability on both runs."""
    return [text_of(body) for body in app.bodies if "pb-standing" in body]


def test_rank_and_probability_on_both_runs_stand_under_target_and_foil(open_app, answer):
    app = open_app(foil=" the")
    top = {side: answer(ASKED).top[side][0].prob for side in ("clean", "corrupted")}
    target, foil = standings(app)
    assert target.startswith(f"1. {probability(top['clean'])}11. ")
    rows = next(row for table in app.next_tokens for row in table if row["token"] == "·the")
    assert foil.startswith(f"{rows['rank']}. <0.01%")  # all digits are there on hover
    assert f'rank {rows["rank"]}, probability {rows["prob."]}"' in "".join(app.bodies)
    app.enter(corrupted=LONGER)  # which cannot be run: what is there is of the former texts
    assert standings(app) == [target, foil]
    app.enter(corrupted=ASKED.corrupted, target="Jones")  # nothing is said of what is not there
    assert standings(app) == [foil] and not any("pb-doubt" in body for body in app.bodies)
    app.enter(target=" the", foil=ASKED.foil)
    assert len(standings(app)) == 2 and any("pb-doubt" in body for body in app.bodies)


def test_what_a_run_expects_and_the_other_does_not_is_one_click_away(open_app):
    app = open_app(target=" the")
    assert app.widget("suggested_foil_626").proto.disabled  # which Smith is already
    app.widget("field_foil").set_value(" Cook")  # with the click
    app.widget("suggested_target_612").click()
    assert app.run().experiment == replace(ASKED, foil=" Cook", target=" Jones")


def test_words_for_the_place_that_is_clicked_flip_the_answer_and_are_put_in_by_a_click(open_app):
    app = open_app()
    assert not any("swap_" in (node.key or "") for node in app.at.button)
    places = next(body for body in app.bodies if "pb-texts" in body)
    assert 'data-field="swap_at" data-text="&quot;1&quot;"' in places
    app.widget("field_swap_at").set_value("1")
    words = [node for node in app.run().at.button if "swap_" in (node.key or "")]
    assert len(words) == 12
    word, _, answer, _ = words[0].label.split(" ")
    app.widget("field_metric").set_value("kl")
    words[0].click()
    app.run()
    corrupted = ASKED.clean.replace(" Jones", word.replace("·", " "))
    foil = answer.replace("·", " ")
    assert app.experiment == replace(ASKED, corrupted=corrupted, foil=foil, metric="kl")
    target, standing = standings(app)
    assert target.startswith("1. ") and "1. " in standing
    app.press("Close")
    assert not any("swap_" in (node.key or "") for node in app.at.button)


@pytest.mark.parametrize("at", ["10", "x", "-1", "999999999"])
def test_a_place_that_the_text_has_not_is_as_if_it_were_not_there(open_app, at):
    app = open_app()
    app.widget("field_swap_at").set_value(at)
    assert not app.run().has("swaps_close") and not app.problems


def test_an_answer_that_no_token_flips_leads_to_words_that_do(open_app):
    app = open_app(corrupted=ASKED.clean.replace("student", "singer"))
    app.press("Find a word that flips it")
    assert app.widget("field_swap_at").value == "7" and app.has("swaps_close")


def test_texts_of_unequal_length_are_made_equal_by_a_click_and_nothing_else_changes(open_app):
    app = open_app().enter(corrupted=LONGER, metric="kl")
    assert len(app.problems) == 1
    app.press("corrupted\\: ·Smithson → ·Smith")
    assert app.experiment == replace(ASKED, metric="kl") and not app.problems
    assert not any("repair_" in (node.key or "") for node in app.at.button)


def test_several_changes_at_once_are_parted_by_a_click(open_app):
    app = open_app(clean=ASKED.clean, corrupted=ASKED.corrupted.replace("student", "singer"))
    (line, *_) = [text_of(body) for body in app.bodies if "pb-doubt" in body]
    assert line.startswith("Two changes at once: ·Jones / ·Smith at 1, ·student / ·singer at 7.")
    app.press("Change only ·Jones / ·Smith")
    assert app.experiment == ASKED


def test_the_same_text_twice_or_the_same_answer_twice_is_mended_by_a_click(open_app):
    app = open_app().enter(corrupted=ASKED.clean)
    (problem,) = app.problems
    assert problem.startswith("The two texts are the same")
    app.press("corrupted\\: ·Jones → ·Smith")  # target and foil
    assert app.experiment == ASKED and not app.problems
    app.enter(corrupted=ASKED.clean).press("Find a word that flips it")
    assert app.widget("field_swap_at").value == "1"  # the target's
    app.enter(corrupted=ASKED.corrupted, foil=ASKED.target)
    assert len(app.problems) == 1
    app.press("Take what the corrupted run expects")
    assert app.experiment == ASKED and not app.problems
    app.enter(target=ASKED.foil).press("Take what the corrupted run expects")
    assert not app.problems and app.experiment.foil != ASKED.foil
    assert "·Smith (id 626), is the target: the next that can be" in app.notes[0]
