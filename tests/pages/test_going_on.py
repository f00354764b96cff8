"""From a chosen cell on: what each run would write, and the links to other pages."""

from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from core.continuing import Continue
from core.question.components import Component
from core.question.experiment import Experiment
from core.question.places import Place
from core.question.sampling import Sampling
from core.steps import finish
from pages.parts import onward
from tests.pages.conftest import LONGER, LONGER_CORRUPTED

TEXTS = {"clean": LONGER, "corrupted": LONGER_CORRUPTED, "target": " Mary", "foil": " John"}
ASKED = Experiment(**TEXTS)
SET = (Component("head", 6, 3), Component("head", 4, 3))
SAYS = "The patched run writes what the clean run writes."


def opened(open_app, **query):
    return open_app(**TEXTS, **query)


def written(app) -> list[list[str]]:
    """What stands as what the runs write: the titles of the tokens, which say the ids."""
    ribbons = [body for body in app.bodies if body.startswith('<div class="pb-ribbon"><bdi')]
    return [[part.split('"')[0] for part in body.split('title="')[1:]] for body in ribbons]


def expected(teaching, patch, how, asked=ASKED) -> list[list[int]]:
    found = finish(Continue(asked, teaching).continued(patch, how))
    return [[w.token.id for w in new] for new in found.runs.values()]


def ids(app) -> list[list[int]]:
    return [[int(title.split()[2].rstrip(",")) for title in run] for run in written(app)]


def test_what_each_run_writes_is_asked_for_by_a_button_and_is_in_the_address(open_app, teaching):
    app = opened(open_app)
    assert "What would each run write?" not in [node.value for node in app.at.subheader]
    app.choose("0", 9)
    assert not written(app) and "write" not in app.query
    app.press("Write on")
    assert ids(app) == expected(teaching, Place(0, None, 9), Sampling())
    assert SAYS in app.texts
    assert written(app)[0][0].endswith("%")
    assert app.query["write"] == "20" and "temperature" not in app.query
    again = opened(open_app, cell="0,9", write="20")
    assert written(again) == written(app) and "Write on" not in again.buttons
    assert again.query == app.query
    app.choose("7", 2)  # of another cell it has to be asked for again
    assert not written(app) and "write" not in app.query
    assert written(app.choose("0", 9)) and app.query["write"] == "20"


def test_tokens_are_drawn_as_the_numbers_say(open_app, teaching):
    asked = {"site": "head_z", "direction": "noise"}
    app = opened(open_app, **asked).choose("6", 3)
    app.widget("continue_tokens").set_value(7)
    app.widget("continue_drawn").set_value(True)
    app.run()
    for name, value in {"temperature": 1.5, "top_k": 9, "seed": 4}.items():
        app.widget(f"continue_{name}").set_value(value)
    app.run().press("Write on")
    how = Sampling(7, 1.5, 9, 4)
    assert ids(app) == expected(teaching, Place(6, 3), how, replace(ASKED, **asked))
    query = {name: app.query[name] for name in ("write", "temperature", "top_k", "seed")}
    assert query == {"write": "7", "temperature": "1.5", "top_k": "9", "seed": "4"}
    again = opened(open_app, **asked, cell="6,3", **query)
    assert ids(again) == ids(app)
    assert again.widget("continue_seed").value == 4
    assert "noise" in next(text for text in again.texts if text.startswith("Drawn from the 9"))


@pytest.mark.parametrize("numbers", [{"write": "<b>"}, {"write": "5", "temperature": "nan"}])
def test_numbers_of_an_address_that_say_nothing_are_as_if_they_were_not_there(open_app, numbers):
    app = opened(open_app, cell="0,9", **numbers)
    assert not written(app) and app.widget("continue_tokens").value == 20


def test_more_than_the_model_can_read_is_not_offered(open_app):
    longer = {name: f"{'The cat was sad. ' * 15}{TEXTS[name]}" for name in ("clean", "corrupted")}
    app = open_app(**TEXTS | longer, cell="7,88", write="40")
    assert len(written(app)[0]) == app.widget("continue_tokens").value < 40
    assert app.widget("continue_tokens").max == app.widget("continue_tokens").value


def test_a_set_is_written_on_from_in_the_same_way(teaching):
    def page():
        from pages.parts import continuing, keeping
        from tests.pages.test_going_on import ASKED, SET

        continuing.show(ASKED, keeping.shelf("teaching"), SET)

    at = AppTest.from_function(page, default_timeout=120).run()
    at.button[0].click()
    bodies = [node.proto.body for node in at.run().get("html")]
    new = expected(teaching, SET, Sampling())
    assert [body.count("<bdi") for body in bodies if "pb-ribbon" in body] == [20] * 3
    for run, body in zip(new, (body for body in bodies if "pb-ribbon" in body), strict=True):
        assert [f"token id {id}," in body for id in run] == [True] * 20
    assert any("run with 6.3 4.3 replaced by the clean run’s (denoise)" in body for body in bodies)


def links(app) -> dict[str, dict[str, list[str]]]:
    """The links from what is chosen: where each leads, and what its address says."""
    found = {}
    for node in app.at.get("page_link"):
        found[node.proto.label.replace("\\", "")] = parse_qs(node.proto.query_string)
    return found


@pytest.mark.parametrize(
    ("asked", "cell", "says", "receiver", "components"),
    [
        ({"embedding": "1"}, ("embedding", 5), "the answer", None, "embedding@5"),
        ({"site": "mlp_out", "window": "1"}, ("2", 5), "mlp2", "mlp2@5", "mlp1@5 mlp2@5 mlp3@5"),
        ({"site": "head_q"}, ("6", 3), "6.3.q", "6.3.q", None),
    ],
)
def test_a_chosen_cell_leads_to_what_feeds_it_and_to_a_set(
    open_app, monkeypatch, asked, cell, says, receiver, components
):
    monkeypatch.setattr(onward, "_SETS", "pages/reading/not_there.py")
    app = opened(open_app, **asked).choose(*cell)
    ((label, query),) = links(app).items()
    assert label.startswith(f"Follow {says}") and label.endswith(" back")
    assert query.get("trail") == (None if receiver is None else [f"logits,{receiver}"])
    assert query["clean"] == [LONGER] and query["site"] == [app.experiment.site]
    monkeypatch.setattr(onward, "_SETS", "pages/reading/lens.py")
    with_set = links(app.run())
    assert with_set.get("Add to the set", {}).get("set", [None]) == [components]


def test_a_clicked_head_leads_to_what_feeds_it(open_app):
    app = opened(open_app).go_to("components").choose("6", 3)
    query = links(app)["Follow 6.3 back"]
    assert query["trail"] == ["logits,6.3"] and query["site"] == ["resid_post"]
