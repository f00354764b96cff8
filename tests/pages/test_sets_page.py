"""The page "Sets", without a browser."""

import json
from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np
import pytest

from core.many import packs
from core.many.grading import Grading
from core.question import components, metrics
from core.question.experiment import Experiment
from core.sets import Sets
from core.steps import finish
from core.views import set_files
from pages.parts import address, members
from pages.parts import answer as answers
from tests.pages.conftest import values

ASKED = Experiment(
    "When Mary and John went to the store, John gave a drink to",
    "When Mary and John went to the store, Mary gave a drink to",
    " Mary",
    " John",
)
SIZES = 8, 4, 13


def opened(open_app, **query):
    texts = {field: getattr(ASKED, field) for field in ("clean", "corrupted", "target", "foil")}
    return open_app(**texts, **query).go_to("sets")


def says(app, *pieces: str) -> bool:
    return any(all(piece in text for piece in pieces) for text in app.texts)


def outlined(figure: dict) -> set[tuple[float, float]]:
    shapes = figure["layout"].get("shapes", [])
    return {(shape["y0"] + 0.5, shape["x0"] + 0.5) for shape in shapes}


@pytest.mark.parametrize("question", [{}, {"direction": "noise", "metric": "target_prob"}])
def test_a_set_of_the_address_is_outlined_and_graded(open_app, teaching, answer, question):
    app = opened(open_app, set="4.3 mlp2 resid3@8 attn7", **question)
    asked = replace(ASKED, **question)
    sets = Sets(asked, teaching)
    singles, stream = app.maps[:2]
    np.testing.assert_allclose(values(singles), finish(sets.singles()).values, atol=1e-4)
    of_stream = answer(replace(asked, embedding=True)).values
    np.testing.assert_allclose(values(stream), of_stream, atol=1e-4)
    assert outlined(singles) == {(4, 3), (2, 4), (7, 0), (7, 1), (7, 2), (7, 3)}
    assert outlined(stream) == {(4, 8)}  # below the embedding's row
    grade = finish(sets.grade(sets.parse("4.3 mlp2 resid3@8 attn7")))
    for effect in (*grade.asked.values(), grade.joint, grade.sum_of_alone):
        assert says(app, f"{effect.share:z.1%}")
    bars = [bar["x"] for figure in app.figures for bar in figure["data"] if bar["type"] == "bar"]
    assert len(bars) == 2
    assert app.query["set"] == "4.3 mlp2 resid3@8 attn7"
    assert "set" not in app.go_to("lens").query
    assert app.go_to("sets").query["set"] == "4.3 mlp2 resid3@8 attn7"


def test_typing_the_strongest_and_the_smallest_that_is_enough_edit_one_set(open_app, teaching):
    app = opened(open_app)
    assert any("S is empty" in note for note in app.notes)
    sets = Sets(ASKED, teaching)
    order = sets.order(finish(sets.singles()))
    app.widget("set_strongest").set_value(2)
    app.run().press("Take the 2 strongest")
    assert app.widget("set_text").value == components.write(order[:2]) == app.query["set"]
    app.widget("set_text").set_value(" 6.3,mlp5@-1")
    app.run()
    assert app.query["set"] == " 6.3,mlp5@-1" and not app.problems
    curve = finish(sets.curve(order))
    size = curve.smallest()
    assert size <= 8
    app.press(f"Take this set of {size}")
    assert app.widget("set_text").value == components.write(order[:size])
    app.press("Clear")
    assert "set" not in app.query


def test_a_click_before_the_browser_has_the_new_address_is_not_undone(open_app, monkeypatch):
    monkeypatch.setattr(address, "_ON_ITS_WAY", 0)  # as on a slow network
    app = opened(open_app, set="4.3")
    former = app.query
    app.widget("set_text").set_value("4.3 9")
    assert app.run().problems
    app.at.query_params.clear()
    for name, value in former.items():  # which the browser still shows when a button is clicked
        app.at.query_params[name] = value
    app.press("Take the 3 strongest")
    assert app.query["set"] == app.widget("set_text").value
    assert len(app.query["set"].split()) == 3 and not app.problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [("6.3 9.9", "There is no layer 9"), ("6.3 ![i](//h/x.png)", "is no component: write a head")],
)
def test_what_is_no_set_says_so_and_stays_as_it_was_typed(open_app, text, problem):
    app = opened(open_app, set="4.3")
    app.widget("set_text").set_value(text)
    app.run()
    assert problem in app.problems[0] and app.widget("set_text").value == text
    assert len(app.maps) == 2  # to click on


def test_greedy_search_is_offered_and_its_set_taken(open_app, teaching):
    app = opened(open_app, direction="noise")
    app.widget("set_order").set_value("greedy")
    app.run()
    sets = Sets(replace(ASKED, direction="noise"), teaching)
    order = sets.order(finish(sets.singles()))
    curve = finish(sets.greedy(order, 20, 0.9))
    assert says(app, "each time the one that adds most")
    app.widget("set_take").click()
    app.run()
    assert app.query["set"] == " ".join(curve.components)


def test_a_long_search_asks_first_and_what_it_found_stays_when_it_is_stopped(open_app, monkeypatch):
    monkeypatch.setattr(Sets, "work", lambda self, sets: (1.0, 0))
    app = opened(open_app, direction="zero")
    app.widget("set_order").set_value("greedy")
    app.run()
    assert any("This takes about 20 s" in text for text in app.words)
    (job,) = (
        job
        for (_, what), job in app.kept.items()
        if isinstance(what, tuple) and what[0] == "greedy"
    )
    job.go()
    with job.driven():
        while job.of.growing is None or len(job.of.growing.components) < 2:
            job.advance()
        job.stop()
    app.run()
    assert any("Stopped at" in text for text in app.words)
    line = next(of for of in app.figures if of["data"][0].get("mode") == "lines+markers")
    assert len(line["data"][0]["customdata"]) == 3
    app.press("Go on")
    assert len(job.result.components) > 2


def test_kept_sets_are_compared_taken_and_forgotten(open_app, teaching):
    app = opened(open_app, set="4.3")
    app.widget("set_name").set_value("<b>one</b>")
    app.run().press("Keep it")
    app.widget("set_text").set_value("6.3 resid3@12")
    app.run().press("Keep it")
    (table,) = app.tables
    assert [row["name"] for row in table] == ["<b>one</b>", "set 1"]
    sets = Sets(ASKED, teaching)
    for row in table:
        grade = finish(sets.grade(sets.parse(row["members"])))
        assert row["necessary"].endswith(f"({grade.necessary.share:z.1%})")
    app.enter(clean="Mary was tired because", corrupted="John was tired because")
    app.enter(target=" she", foil=" he")
    (table,) = app.tables
    assert "There is no position 12" in table[1]["sufficient"] and table[0]["necessary"] != "none"
    app.widget("forget_<b>one</b>").click()
    assert [row["name"] for row in app.run().tables[0]] == ["set 1"]


def test_the_files_are_those_of_the_command(open_app, teaching, monkeypatch):
    files = {}
    monkeypatch.setattr(answers, "file_row", lambda *of: files.update({f.name: f for f in of}))
    opened(open_app, set="4.3 6.3")
    sets = Sets(replace(ASKED, embedding=True), teaching)
    grade = finish(sets.grade(sets.parse("4.3 6.3")))
    curve = finish(sets.added(sets.everything, "single"))
    by_kind = {
        name.rpartition(".")[2]: file.make() for name, file in files.items() if "set" in name
    }
    expected = json.loads(set_files.set_json(grade, curve))
    made = json.loads(by_kind["json"])
    assert made.keys() == expected.keys() and made["curve"]["components"] == list(curve.components)
    for name in ("sufficient", "necessary", "complement"):
        assert made[name] == pytest.approx(expected[name], abs=1e-3)
    svg = " ".join(by_kind["svg"].decode().split())
    for piece in ("4.3 6.3", "denoise", "Negative where the target wins", "Sufficient", "mlp5"):
        assert piece in svg
    assert by_kind["png"][:4] == b"\x89PNG" and "curve_single" in by_kind["csv"]


def test_a_set_is_graded_over_the_pack_that_is_like_the_example(open_app, teaching, monkeypatch):
    pack = packs.PACKS["teaching-ioi"]
    few = pack.make()[:5]
    monkeypatch.setattr(type(pack), "make", lambda self: few)
    app = opened(open_app, set="4.3 mlp5")
    app.widget("set_many").set_value(True)
    app.run().press("Grade S on 5 pairs")
    asked = replace(ASKED, clean="", corrupted="", target="", foil="")
    found = finish(Grading(few, [], teaching, asked, "4.3 mlp5", draws="pairs").run())
    for share in found.shares.values():
        assert says(app, "On the mean over 5 pairs") and says(app, *(f"{x:z.1%}" for x in share))
    assert app.query["pack"] == pack.name


class _State(dict):
    __getattr__ = dict.__getitem__


def test_a_component_of_another_page_is_added_to_the_set(monkeypatch):
    monkeypatch.setattr(members.st, "session_state", _State(experiment=ASKED, page="sets"))
    members.add("4.3")
    members.add("resid3@8")
    members.add("4.3")
    assert members.to_query() == {"set": "4.3 resid3@8"}
    page, _, query = members.address_with("mlp2").partition("?")
    said = dict(parse_qsl(query))
    assert (page, said["set"]) == ("sets", "4.3 resid3@8 mlp2")
    assert Experiment.from_query(said) == ASKED
    members.toggle(components.Component("resid", 3, position=8), SIZES)
    members.toggle(components.Component("mlp", 2), SIZES)
    assert members.text() == "4.3 mlp2" and members.clicks() == 2


def test_a_metric_that_cannot_be_measured_is_told_once(open_app, monkeypatch):
    monkeypatch.setattr(metrics, "SMALLEST_DIFFERENCE", 1e9)
    (problem,) = opened(open_app, metric="recovery", set="4.3").problems
    assert "Recovery divides by the difference between the two runs" in problem
