"""The page "Follow it back", without a browser."""

from dataclasses import replace
from urllib.parse import parse_qs

import numpy as np
import pytest

from core.following import Follow
from core.question.experiment import Experiment
from pages.parts import onward
from tests.pages.conftest import values

ASKED = Experiment(
    "When Mary and John went to the store, John gave a drink to",
    "When Mary and John went to the store, Mary gave a drink to",
    " Mary",
    " John",
)


def opened(open_app, **query):
    texts = {field: getattr(ASKED, field) for field in ("clean", "corrupted", "target", "foil")}
    return open_app(**texts, **query).go_to("follow")


def expected(teaching, asked, *into, frozen="all") -> list[np.ndarray]:
    follow = Follow(asked, teaching, into, frozen)
    for _ in follow:
        pass
    return [of.values for of in follow.read(asked).values()]


def steps(app) -> list[str]:
    """The labels of the buttons that lead back."""
    found = (button for button in app.at.button if (button.key or "").startswith("trail_"))
    return [button.label.replace("\\", "") for button in found]


@pytest.mark.parametrize("question", [{}, {"direction": "noise", "metric": "kl"}])
def test_the_first_map_is_of_the_logits_and_a_head_is_shown_as_query_key_and_value(
    open_app, teaching, question
):
    app = opened(open_app, **question)
    asked = replace(ASKED, **question)
    np.testing.assert_allclose(values(app.maps[0]), *expected(teaching, asked, "logits"), atol=1e-4)
    app.widget("trail_receiver").set_value("6.3")
    app.run()
    shown = [values(of) for of in app.maps[:3]]
    parts = expected(teaching, asked, "6.3.q", "6.3.k", "6.3.v")
    for found, of in zip(shown, parts, strict=True):
        np.testing.assert_allclose(found, of, atol=1e-4)
    scales = {(of["data"][0]["zmin"], of["data"][0]["zmax"]) for of in app.maps[:3]}
    assert len(scales) == 1
    assert app.query["trail"] == "6.3"


def test_what_is_frozen_is_chosen_and_part_of_the_address(open_app, teaching):
    app = opened(open_app, trail="logits,6.3.q")
    app.widget("trail_frozen").set_value("heads")
    app.run()
    of = expected(teaching, ASKED, "6.3.q", frozen="heads")
    np.testing.assert_allclose(values(app.maps[0]), *of, atol=1e-4)
    assert (app.query["trail"], app.query["frozen"]) == ("logits,6.3.q", "heads")
    again = opened(open_app, **{key: app.query[key] for key in ("trail", "frozen")})
    np.testing.assert_allclose(values(again.maps[0]), *of, atol=1e-4)
    assert "trail" not in again.go_to("lens").query


def test_an_mlp_is_followed_back_to_what_feeds_its_input(open_app, teaching):
    app = opened(open_app, trail="logits,mlp5")
    np.testing.assert_allclose(values(app.maps[0]), *expected(teaching, ASKED, "mlp5"), atol=1e-4)
    assert any(text.startswith("The embedding into mlp5 (the vectors") for text in app.texts)
    assert any("below that is towards the clean run" in text for text in app.texts)


def test_a_trail_is_a_set_to_be_graded(open_app, monkeypatch):
    monkeypatch.setattr(onward, "_SETS", "pages/reading/lens.py")
    app = opened(open_app, trail="logits,<b>,6.3,mlp5,6.3.q@4")
    (link,) = (node.proto for node in app.at.get("page_link"))
    assert link.label == "Add the trail to the set"
    assert parse_qs(link.query_string)["set"] == ["6.3 mlp5"]
    app.at.session_state["set_members"] = "mlp0,6.3"
    (link,) = (node.proto for node in app.run().at.get("page_link"))
    assert parse_qs(link.query_string)["set"] == ["mlp0 6.3 mlp5"]


def test_the_trail_is_walked_back(open_app):
    app = opened(open_app, trail="logits,6.3,4.3,0.1")  # where nothing but the embedding is left
    assert steps(app) == ["logits", "6.3", "4.3"]
    next(button for button in app.at.button if button.key == "trail_2").click()
    app.run()
    assert steps(app) == ["logits", "6.3"]
    next(button for button in app.at.button if button.key == "trail_0").click()
    app.run()
    assert steps(app) == [] and app.widget("trail_receiver").value == "logits"


@pytest.mark.parametrize(
    ("trail", "says"),
    [
        ("logits,9.9", "There is no layer 9: this model's layers are 0 to 7."),
        ("![i](//host/x.png)", "is no receiver: write logits, a head's query"),
    ],
)
def test_a_receiver_that_is_none_says_so_and_stays(open_app, trail, says):
    app = opened(open_app, trail=trail)
    assert says in app.problems[0]
    assert app.widget("trail_receiver").value == trail.split(",")[-1]


def test_the_direct_effect_stands_beside_the_whole_one(open_app, answer):
    app = opened(open_app)
    figure = next(of for of in app.figures if of["data"][0].get("mode") == "lines")
    dots = {dot[0]: dot for dot in figure["data"][1]["customdata"]}
    total = answer(replace(ASKED, site="head_z"))
    change = float(total.values[6, 3]) - total.plain("logit_diff")
    assert float(dots["6.3"][2]) == pytest.approx(change, abs=1e-3)
    names = [name for name in figure["data"][1]["text"] if name]
    assert len(names) == 4 and "6.3" in names
    app.widget("direct_against").set_value("Direct logit attribution")
    figure = next(of for of in app.run().figures if of["data"][0].get("mode") == "lines")
    assert len(figure["data"][1]["customdata"]) == 8 * 4
    assert not [label for label in opened(open_app, direction="zero").at.radio[0].options[1:]]


def test_the_trail_stays_while_another_page_is_opened_by_a_link_of_its_own(open_app):
    app = opened(open_app, trail="logits,6.3")
    app.at.query_params["set"] = "6.3"
    del app.at.query_params["trail"]
    app.at.session_state["address"] = ({"clean": "another"}, 0.0)
    app.go_to("sets").go_to("follow")
    assert app.query["trail"] == "logits,6.3"
