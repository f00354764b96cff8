"""The page "Patch": what it shows, and that it computes nothing twice."""

from dataclasses import replace

import numpy as np
import pytest
import streamlit as st

from core import presets
from core.question.metrics import METRICS
from pages.parts import answer as answer_part
from pages.parts import jobs, running
from pages.parts.jobs import State
from tests.pages.conftest import LONGER, LONGER_CORRUPTED, OFFERED, TITLES, numbers


def rounded(values) -> np.ndarray:
    return np.round(np.asarray(values, dtype=float), 4)


# --- opening it ---------------------------------------------------------------------------------


def test_it_opens_with_an_example_computed(open_app, answer):
    app = open_app()
    assert app.experiment == presets.PRESETS[0].experiment("teaching")
    assert not app.problems and not app.notes
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)


def test_it_shows_the_baselines_of_both_runs(open_app, answer):
    app = open_app()
    result = answer(app.experiment)
    table = next(body for body in app.bodies if "before any patch" in body)
    for metric, digits in (("logit_diff", ".4f"), ("target_prob", ".4%"), ("foil_prob", ".4%")):
        for value in (result.baselines[metric].clean, result.baselines[metric].corrupted):
            assert f"<td>{value:{digits}}</td>" in table


def test_it_shows_the_likeliest_tokens_of_both_runs(open_app, answer):
    app = open_app()
    for table, side in zip(app.next_tokens, ("clean", "corrupted"), strict=True):
        expected = answer(app.experiment).top[side]
        assert [row["rank"] for row in table] == [str(rank) for rank in range(1, 21)]
        assert [row["id"] for row in table] == [str(row.token.id) for row in expected]
        assert [row["token"] for row in table] == [row.token.label for row in expected]
        assert [float(row["logit"]) for row in table] == pytest.approx(
            [row.logit for row in expected], abs=1e-4
        )
        assert [float(row["prob."]) for row in table] == pytest.approx(
            [row.prob for row in expected], abs=1e-6
        )


def test_the_likeliest_tokens_are_a_chart_if_asked_for(open_app, answer):
    app = open_app()
    app.widget("next_tokens_as").set_value("Chart")
    app.run()
    assert app.next_tokens == []
    charts = [figure for figure in app.figures if figure["data"][0]["type"] == "bar"]
    for chart, side in zip(charts, ("clean", "corrupted"), strict=True):
        expected = [row.prob for row in answer(app.experiment).top[side]]
        assert chart["data"][0]["x"] == pytest.approx(expected, abs=1e-6)


def test_it_offers_five_files(open_app):
    labels = [button.proto.label for button in open_app().at.get("download_button")]
    assert labels == ["PNG", "SVG", "CSV: grid", "CSV: top 20", "JSON"]


def test_the_hover_says_what_a_cell_is(open_app, answer):
    app = open_app(metric="prob_diff")
    result = answer(app.experiment)
    (figure,) = app.maps
    fields = np.reshape(figure["data"][1]["customdata"], (*result.values.shape, -1))
    row, position = 3, 1
    change = result.grids["logit_diff"] - result.baselines["logit_diff"].corrupted
    expected = [
        result.values, result.grids["logit_diff"], change, result.grids["recovery"],
    ]  # fmt: skip
    assert fields[row, position, 2:5].tolist() == ["layer 2", "·Jones", "·Smith"]
    shown = fields[row, position, 5:].astype(float)
    np.testing.assert_allclose(shown, [grid[row, position] for grid in expected], atol=2e-4)
    for words in ("position", "P(·Smith) - P(·Jones)", "logit(·Smith) - logit(·Jones)", "recovery"):
        assert words in figure["data"][1]["hovertemplate"]


# --- examples -----------------------------------------------------------------------------------


def test_there_are_eight_examples_the_three_of_the_assignment_among_them(open_app):
    app = open_app()
    assert len(TITLES) >= 8
    assert [label for label in app.buttons if label in TITLES] == TITLES
    corrupted = {preset.corrupted for preset in OFFERED}
    assert corrupted >= {
        "Michelle Smith was a top-notch student. Michelle",
        "Jessica Jones was a top-notch student. Michelle",
        "Michelle Jones was a top-notch student. Jessica",
    }


@pytest.mark.parametrize("preset", OFFERED, ids=lambda preset: preset.title)
def test_an_example_gives_a_map(open_app, answer, preset):
    app = open_app(clean="", corrupted="", target="", foil="").press(preset.title)
    assert app.experiment == preset.experiment("teaching")
    assert not app.problems
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)


def test_an_example_is_shown_with_what_to_look_for(open_app):
    captions = [caption.value for caption in open_app().at.sidebar.caption]
    assert captions == [preset.look_for for preset in OFFERED]


def test_an_example_with_words_the_model_does_not_know_is_not_offered(open_app):
    assert "The Eiffel Tower" in [preset.title for preset in presets.PRESETS]
    assert "The Eiffel Tower" not in open_app().buttons


# --- sweep once, ask many questions -------------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        *({"metric": metric} for metric in METRICS if metric != "logit_diff"),
        {"target": " Michelle"},
        {"foil": " the"},
        {"target": " Smith", "foil": " Jones"},
    ],
    ids=str,
)
def test_another_question_is_answered_without_another_sweep(open_app, answer, sweeps, question):
    app = open_app()
    assert len(sweeps) == 1
    app.enter(**question)
    assert len(sweeps) == 1
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"corrupted": "Michelle Brown was a top-notch student. Michelle"},
        {"direction": "noise"},
        {"bos": True},
        {"embedding": False},
    ],
    ids=str,
)
def test_another_experiment_is_another_sweep(open_app, answer, sweeps, change):
    app = open_app().enter(**change)
    assert len(sweeps) == 2
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)


def test_going_back_to_an_experiment_needs_no_sweep(open_app, sweeps):
    open_app().press(TITLES[1]).press(TITLES[0]).press(TITLES[1])
    assert len(sweeps) == 2


def test_a_choice_of_a_cell_needs_no_sweep(open_app, sweeps):
    open_app().choose("2", 1).choose("3", 2).press("Clear")
    assert len(sweeps) == 1


def test_the_embedding_is_a_row_above_the_layers(open_app, answer):
    app = open_app(embedding="0")
    layers = app.map
    app.enter(embedding=True)
    assert app.maps[0]["layout"]["yaxis"]["ticktext"] == ["embedding", *map(str, range(6))]
    np.testing.assert_allclose(app.map[1:], layers, atol=1e-4)


def test_end_of_text_comes_first_when_asked_for(open_app):
    app = open_app(bos="0")
    columns = app.map.shape[1]
    app.enter(bos=True)
    assert app.map.shape[1] == columns + 1
    assert app.maps[0]["layout"]["xaxis"]["ticktext"][0] == "&lt;|endoftext|&gt;"


# --- a slow sweep -------------------------------------------------------------------------------


@pytest.fixture
def interrupted_at(monkeypatch):
    """`interrupted_at(n)`: every step of a sweep is drawn, and the n-th drawing is the last of
    its run, as when a person clicks meanwhile. `interrupted_at(None)` lets runs go on."""
    monkeypatch.setattr(running, "_SHOW_AFTER", -1)
    monkeypatch.setattr(running, "_BAR_EVERY", -1)
    monkeypatch.setattr(running, "_MAP_EVERY", -1)
    monkeypatch.setattr("core.engine.plan.WORKING_MEMORY", 1)  # as many steps as there are cells
    still_heatmap = answer_part.still_heatmap
    drawings, last = [], [None]

    def draw_or_end(result, **kwargs):
        drawings.append(result)
        if len(drawings) == last[0]:
            st.stop()
        still_heatmap(result, **kwargs)

    def interrupt(at):
        drawings.clear()
        last[0] = at
        return drawings

    monkeypatch.setattr(answer_part, "still_heatmap", draw_or_end)
    return interrupt


def test_a_long_sweep_begins_when_a_person_says_so(open_app, answer, monkeypatch):
    monkeypatch.setattr(jobs, "_ASK_ABOVE", -1)
    app = open_app()
    assert app.job.fraction == 0
    assert any("This takes about" in markdown.value for markdown in app.at.markdown)
    assert not app.at.get("download_button")
    app.press("Run it")
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)
    assert app.at.get("download_button")


def test_a_slow_sweep_shows_how_far_it_is(open_app, interrupted_at):
    interrupted_at(20)
    app = open_app()
    (bar,) = app.at.get("progress")
    fraction = app.job.fraction
    assert 0 < fraction < 1
    assert bar.value == int(fraction * 100)
    assert f"{fraction:.0%}" in bar.text
    assert "Cancel" in app.buttons


def test_a_slow_sweep_fills_the_map_as_it_goes(open_app, interrupted_at):
    drawings = interrupted_at(None)
    open_app()
    known = [np.isfinite(result.values).sum() for result in drawings]
    assert known == sorted(known)
    assert known[0] < known[len(known) // 2] < known[-1]


def test_cancel_stops_a_sweep_where_it_is_and_go_on_finishes_it(open_app, answer, interrupted_at):
    interrupted_at(20)
    app = open_app()
    fraction = app.job.fraction
    interrupted_at(None)
    app.press("Cancel")
    assert app.job.fraction == fraction
    assert f"Stopped at {fraction:.0%}." in [markdown.value for markdown in app.at.markdown]
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


def test_a_chosen_cell_is_outlined_and_tells_its_story(open_app, answer):
    app = open_app()
    assert app.outlined == set()
    app.choose("2", 1)
    assert app.outlined == {(3, 1)}
    result = answer(app.experiment)
    ld = result.grids["logit_diff"][3, 1]
    story = next(text for text in app.texts if "replaced by" in text)
    assert story.startswith("With the resid_post of layer 2 at position 1 replaced by the clean")
    assert f"from {result.baselines['logit_diff'].corrupted:.4f} to {ld:.4f}" in story
    assert f"to {result.grids['recovery'][3, 1]:.4f}" in story


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_a_chosen_cell_opens_its_next_tokens_with_the_change_in_rank(open_app, direction):
    app = open_app(direction=direction).choose("2", 1)
    expected = app.job.of.patched_next_tokens((3, 1))
    clean, patched, _corrupted = app.next_tokens
    assert len(patched) == 20
    for row, moved in zip(patched, expected, strict=True):
        unpatched = moved.corrupted_rank if direction == "denoise" else moved.clean_rank
        assert (row["rank"], row["id"]) == (str(moved.now.rank), str(moved.now.token.id))
        assert (row["clean"], row["corr."]) == (str(moved.clean_rank), str(moved.corrupted_rank))
        assert row["risen"] == f"{unpatched - moved.now.rank:+d}"
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
    assert numbers(readers["data"][0]["z"]).shape == (6, 4)
    table = next(text for text in app.texts if "put in here" in text)
    for site in ("resid_pre", "attn_out", "mlp_out"):
        part = answer(replace(app.experiment, site=site)).values[1, 9]
        assert f"({site}){part:z.4f}" in table


@pytest.mark.parametrize("change", [{"site": "attn_out"}, {"window": "1"}])
def test_only_a_single_patch_of_the_stream_can_be_followed(open_app, change):
    app = open_app(embedding="0", **change).choose("1", 9)
    assert not app.has("follow")


def test_the_embedding_row_can_be_chosen(open_app):
    app = open_app(embedding="1").choose("embedding", 0)
    assert app.outlined == {(0, 0)}
    assert any("With the embedding at position 0" in text for text in app.texts)


def test_clear_closes_the_story(open_app):
    app = open_app().choose("2", 1).press("Clear")
    assert app.outlined == set() and len(app.next_tokens) == 2
    assert (app.widget("cell_row").value, app.widget("cell_column").value) == (None, None)


def test_a_cell_stays_chosen_while_it_exists(open_app):
    app = open_app().choose("2", 1)
    app.enter(clean=LONGER, corrupted=LONGER_CORRUPTED, target=" Mary", foil=" John")
    assert app.outlined == {(3, 1)}
    app.enter(metric="kl").enter(embedding=False)
    assert app.outlined == {(2, 1)}
    assert len(app.next_tokens) == 3


def test_a_cell_that_a_shorter_text_no_longer_has_is_dropped(open_app):
    app = open_app(clean=LONGER, corrupted=LONGER_CORRUPTED).choose("2", 13)
    assert app.outlined == {(2 + 1 * app.experiment.embedding, 13)}
    app.press(TITLES[0])
    assert app.outlined == set() and len(app.next_tokens) == 2
    assert (app.widget("cell_row").value, app.widget("cell_column").value) == (None, None)


def test_the_embedding_cell_is_dropped_with_its_row(open_app):
    app = open_app(embedding="1").choose("embedding", 1).enter(embedding=False)
    assert app.outlined == set() and len(app.next_tokens) == 2
