"""The page "Patch": what it shows, and that it computes nothing twice."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import streamlit as st

from core import presets
from core.views import code
from core.views.sentences import where_it_is
from core.views.words import number, probability
from pages.parts import answer as answer_part
from pages.parts import running
from pages.parts.jobs import State
from tests.pages.conftest import (
    LONGER,
    LONGER_CORRUPTED,
    OFFERED,
    TITLES,
    nothing_by_itself,
    numbers,
)


def rounded(values) -> np.ndarray:
    return np.round(np.asarray(values, dtype=float), 4)


def test_it_opens_with_an_example_computed(open_app, answer):
    app = open_app()
    assert app.experiment == presets.PRESETS[0].experiment("teaching")
    assert not app.problems and not app.notes
    result = answer(app.experiment)
    np.testing.assert_allclose(app.map, rounded(result.values), atol=1e-4)
    table = next(body for body in app.bodies if "before any patch" in body)
    for metric in ("logit_diff", "target_prob", "foil_prob"):
        for value in (result.baselines[metric].clean, result.baselines[metric].corrupted):
            assert f"<td>{number(metric, value)}</td>" in table
    files = [button.proto.label for button in app.at.get("download_button")]
    tables = ["CSV: grid", "CSV: layers", "CSV: top 20", "JSON"]
    pictures = ["PNG", "SVG", "PDF"]  # the second time as in the assignment
    assert files == [*pictures, *tables, *pictures, "Python file", "Notebook"]


def test_it_shows_the_code_behind_the_map_in_two_ways(open_app, teaching):
    app = open_app(site="head_z_position", position="3")
    for way in ("plain", "fast"):
        app.widget("code").set_value(way)
        (shown,) = app.run().at.code
        cells = getattr(code, way)(app.experiment, teaching, position=3)
        assert shown.value == code.script(cells).strip() and "3" in cells[-1].code


def test_it_shows_the_likeliest_tokens_of_both_runs_as_tables_or_a_chart(open_app, answer):
    app = open_app()
    tops = [answer(app.experiment).top[side] for side in ("clean", "corrupted")]
    for table, top in zip(app.next_tokens, tops, strict=True):
        assert [row["rank"] for row in table[:20]] == [str(rank) for rank in range(1, 21)]
        for row, expected in zip(table[:20], top, strict=True):
            assert (row["id"], row["token"]) == (str(expected.token.id), expected.token.label)
            assert float(row["logit"]) == pytest.approx(expected.logit, abs=1e-4)
            assert row["prob."] == probability(expected.prob)
    app.widget("next_tokens_as").set_value("Chart")
    assert app.run().next_tokens == []
    charts = [figure for figure in app.figures if figure["data"][0]["type"] == "bar"]
    for chart, top in zip(charts, tops, strict=True):
        assert chart["data"][0]["x"] == pytest.approx([row.prob for row in top], abs=1e-6)


def test_target_and_foil_are_told_wherever_they_are_and_other_tokens_can_become_them(
    open_app, answer
):
    app = open_app(foil=" were")
    for side, table in zip(("clean", "corrupted"), app.next_tokens, strict=True):
        result = answer(app.experiment)
        own = {row["token"]: row for row in table if row["use as"] in ("target", "foil")}
        assert {row["use as"]: token for token, row in own.items()} == {
            "target": "·Jones",
            "foil": "·were",
        }
        for name, token in (("target", result.target), ("foil", result.foil)):
            plain = result.plain(f"{name}_prob", side)
            assert own[token.label]["prob."] == probability(plain)
        top = {row.token.label for row in result.top[side]}
        further = table[20:]
        assert {row["token"] for row in further} == set(own) - top >= {"·were"}
        assert all(int(row["rank"].replace(",", "")) > 20 for row in further)
        assert all(row["use as"] == "TF" for row in table if row["token"] not in own)
    body = next(body for body in app.bodies if "pb-dense" in body)
    buttons = [node.attrib for node in ElementTree.fromstring(body).iter("button")]
    second = result.top["clean"][1].token
    assert [(node["data-field"], json.loads(node["data-text"])) for node in buttons[:2]] == [
        ("target", second.text),
        ("foil", second.text),
    ]
    assert buttons[0]["aria-label"] == f"Make {second.label} the target"


def test_every_example_that_the_model_knows_is_offered_asks_something_that_the_map_answers(
    open_app, answer
):
    app = open_app(clean="", corrupted="", target="", foil="")
    shown = {preset.title for preset in presets.PRESETS} & set(app.buttons)
    assert shown == {*TITLES} and "The Eiffel Tower" not in shown
    for preset in OFFERED:
        app.press(preset.title)
        assert app.experiment == preset.experiment("teaching")
        assert app.maps and not app.problems
        said = f"{preset.asks} {where_it_is(answer(app.experiment))} Blue: towards the clean run."
        assert said in app.texts


# --- sweep once, ask many questions -------------------------------------------------------------


def test_another_question_is_answered_without_another_sweep(open_app, answer, sweeps):
    app, shown = open_app(), {}
    for question in (
        {"metric": "kl"},
        {"metric": "prob_diff", "target": " Michelle", "foil": " the"},
        {"metric": "logit_diff", "target": " Smith", "foil": " Jones"},
    ):
        app.enter(**question)
        shown[app.experiment] = app.map
    app.choose("2", 1).choose("3", 2).press("Clear")
    assert len(sweeps) == 1
    for asked, seen in shown.items():
        np.testing.assert_allclose(seen, rounded(answer(asked).values), atol=1e-4)


def test_another_experiment_is_another_sweep_and_going_back_to_one_is_none(
    open_app, answer, sweeps
):
    app, shown = open_app(), {}
    for change in (
        {"corrupted": "Michelle Brown was a top-notch student. Michelle"},
        {"direction": "noise"},
        {"bos": True},
        {"embedding": False},
        {"site": "attn_out"},
    ):
        app.enter(**change)
        shown[app.experiment] = app.map
        assert len(sweeps) == 1 + len(shown)
    app.enter(site="resid_post").press(TITLES[0])  # both have been there
    assert len(sweeps) == 1 + len(shown)
    for asked, seen in shown.items():
        np.testing.assert_allclose(seen, rounded(answer(asked).values), atol=1e-4)


# --- a slow sweep -------------------------------------------------------------------------------


@pytest.fixture
def interrupted_at(monkeypatch):
    """`interrupted_at(n)`: every step of a sweep is drawn, and the n-th drawing is the last of
    its run, as when a person clicks meanwhile. `interrupted_at(None)` lets runs go on undrawn."""
    monkeypatch.setattr(running, "_SHOW_AFTER", -1)
    monkeypatch.setattr(running, "_SAY_EVERY", -1)
    monkeypatch.setattr(running, "_MAP_EVERY", -1)
    monkeypatch.setattr(running, "_DRAWING_PAUSE", -1)
    monkeypatch.setattr("core.engine.plan.WORKING_MEMORY", 1)  # as many steps as there are cells
    still_heatmap = answer_part.still_heatmap
    drawings, last = [], [None]

    def draw_or_end(result, **kwargs):
        drawings.append(result)
        if len(drawings) == last[0]:
            st.stop()
        if last[0] is not None:
            still_heatmap(result, **kwargs)

    def interrupt(at):
        drawings.clear()
        last[0] = at
        return drawings

    monkeypatch.setattr(answer_part, "still_heatmap", draw_or_end)
    return interrupt


def test_a_long_sweep_begins_when_a_person_says_so_knowing_what_it_takes(
    open_app, answer, monkeypatch
):
    nothing_by_itself(monkeypatch)
    app = open_app()
    assert app.job.fraction == 0 and app.job.memory > 1e6
    takes = f"This takes about 1 s and {app.job.memory / 1e6:.0f} MB of memory here."
    assert takes in app.words
    assert not app.at.get("download_button")
    app.press("Run it")
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)
    assert app.at.get("download_button")


def test_a_slow_sweep_fills_the_map_as_it_goes(open_app, interrupted_at):
    drawings = interrupted_at(None)
    open_app()
    known = [np.isfinite(result.values).sum() for result in drawings]
    assert known == sorted(known)
    assert known[0] < known[len(known) // 2] < known[-1]


def test_a_slow_sweep_shows_how_far_it_is_is_cancelled_there_and_goes_on_to_its_end(
    open_app, answer, interrupted_at
):
    interrupted_at(20)
    app = open_app()
    (bar,) = app.at.get("progress")
    fraction = app.job.fraction
    assert 0 < fraction < 1
    assert bar.value == int(fraction * 100)
    assert re.fullmatch(rf"{fraction:.0%}, \d+ s left", bar.text)
    interrupted_at(None)
    app.press("Cancel")
    assert app.job.fraction == fraction
    assert f"Stopped at {fraction:.0%}." in app.words
    assert np.isnan(app.map).any()
    assert not app.at.get("download_button")
    app.press("Go on")
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)
    assert app.at.get("download_button")


def test_a_sweep_goes_on_where_an_interruption_left_it(open_app, interrupted_at, sweeps):
    interrupted_at(20)
    app = open_app()
    fraction = app.job.fraction
    interrupted_at(1)
    app.enter(metric="kl")
    assert app.job.fraction > fraction
    assert len(sweeps) == 1


def test_another_text_ends_the_sweep_under_way_which_goes_on_when_one_comes_back(
    open_app, interrupted_at
):
    interrupted_at(20)
    app = open_app()
    asked, old = app.experiment, app.job
    reached = old.fraction
    interrupted_at(None)
    app.enter(clean=LONGER, corrupted=LONGER_CORRUPTED)
    assert app.job is not old
    assert app.job.state is State.FINISHED and 0 < old.fraction == reached < 1
    app.enter(clean=asked.clean, corrupted=asked.corrupted)
    assert app.job is old and old.state is State.FINISHED


# --- the story of a cell ------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_a_chosen_cell_is_outlined_tells_its_story_and_its_next_tokens(open_app, answer, direction):
    app = open_app(direction=direction)
    assert app.outlined == set()
    app.choose("2", 1)
    assert app.outlined == {(3, 1)}
    result = answer(app.experiment)
    put_in, unpatched = ("clean", "corrupted")[:: 1 if direction == "denoise" else -1]
    story = next(text for text in app.texts if "replaced by" in text)
    assert story.startswith(
        f"With the resid_post of layer 2 at position 1 replaced by the {put_in}"
    )
    plain = getattr(result.baselines["logit_diff"], unpatched)
    assert f"from {plain:.4f} to {result.grids['logit_diff'][3, 1]:.4f}" in story
    assert f"to {result.grids['recovery'][3, 1]:.4f}" in story
    clean, patched, _corrupted = app.next_tokens
    also = result.target.id, result.foil.id
    for row, moved in zip(patched, app.job.of.patched_next_tokens((3, 1), also), strict=True):
        assert (row["rank"], row["id"]) == (f"{moved.now.rank:,}", str(moved.now.token.id))
        ranks = f"{moved.clean_rank:,}", f"{moved.corrupted_rank:,}"
        assert (row["clean"], row["corr."]) == ranks
        assert row["risen"] == f"{getattr(moved, f'{unpatched}_rank') - moved.now.rank:+,}"
    ranks = {row["id"]: row["rank"] for row in clean}
    assert all(row["clean"] == ranks[row["id"]] for row in patched if row["id"] in ranks)


def test_a_chosen_patch_can_be_followed_through_the_layers(open_app, answer):
    app = open_app(embedding="0").choose("1", 9)
    before = len(app.figures)
    app.widget("follow").set_value(True)
    app.run()
    lines, readers = app.figures[before:]
    result = answer(app.experiment)
    ends = [trace["y"][-1] for trace in lines["data"]]
    baseline = result.baselines["logit_diff"]
    expected = [baseline.corrupted, baseline.clean, result.values[1, 9]]
    assert ends == pytest.approx(expected, abs=1e-3)
    assert numbers(readers["data"][0]["z"]).shape == (8, 4)
    table = next(text for text in app.texts if "put in here" in text)
    for site in ("resid_pre", "attn_out", "mlp_out"):
        part = answer(replace(app.experiment, site=site)).values[1, 9]
        assert f"({site}){part:z.4f}" in table


def test_only_a_single_patch_of_the_stream_can_be_followed(open_app):
    app = open_app(embedding="0", window="1").choose("1", 9)
    assert len(app.next_tokens) == 3 and not app.has("follow")
    app.enter(window=0, site="attn_out")
    assert len(app.next_tokens) == 3 and not app.has("follow")


def assert_nothing_is_chosen(app) -> None:
    assert app.outlined == set() and len(app.next_tokens) == 2
    assert (app.widget("cell_row").value, app.widget("cell_column").value) == (None, None)


def test_a_cell_stays_chosen_while_it_exists_or_until_it_is_cleared(open_app):
    app = open_app().choose("2", 1)
    app.enter(clean=LONGER, corrupted=LONGER_CORRUPTED, target=" Mary", foil=" John")
    assert app.outlined == {(3, 1)}
    app.enter(metric="kl").enter(embedding=False)
    assert app.outlined == {(2, 1)}
    assert len(app.next_tokens) == 3
    assert_nothing_is_chosen(app.press("Clear"))
    assert app.choose("2", 13).outlined == {(2, 13)}
    app.press(TITLES[0])  # which is shorter
    assert_nothing_is_chosen(app)
    assert app.choose("embedding", 0).outlined == {(0, 0)}
    assert any("With the embedding at position 0" in text for text in app.texts)
    assert_nothing_is_chosen(app.enter(embedding=False))
