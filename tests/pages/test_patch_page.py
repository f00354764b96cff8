"""The page "Patch": what it shows, what it refuses, and that it computes nothing twice."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import streamlit as st

from core import models, presets
from core.metrics import METRICS
from core.tokens import whole_words
from pages.parts import answer as answer_part
from pages.parts import html, running
from tests.pages.conftest import numbers

OFFERED = presets.offered(models.TEACHING, models.load_tokenizer(models.TEACHING))
TITLES = [preset.title for preset in OFFERED]
LONGER = "When Mary and John went to the store, John gave a drink to"
LONGER_CORRUPTED = "When Mary and John went to the store, Mary gave a drink to"


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


# --- bad input ----------------------------------------------------------------------------------

CLEAN = presets.PRESETS[0].clean
BAD_INPUTS = [
    pytest.param("clean", "", "The clean text is empty: type a sentence.", id="empty text"),
    pytest.param("corrupted", " \n\t ", "The corrupted text is empty", id="blank text"),
    pytest.param("corrupted", "Michelle Smith", "the clean text has 8 more", id="unequal counts"),
    pytest.param("corrupted", CLEAN, "The two texts are the same", id="identical texts"),
    pytest.param(
        "clean",
        "Mary" + " Jones" * 96,
        "97 tokens and this model reads at most 96",
        id="too many tokens",
    ),
    pytest.param("clean", "a" * 1_000_000, "1,000,000 characters", id="1 MB"),
    pytest.param("clean", "漢" * 350_000, "350,000 characters", id="1 MB of wide characters"),
    pytest.param("clean", "Mary\x00Jones", "is the control character U+0000", id="NUL"),
    pytest.param("corrupted", "\x1b[31mMary", "is the control character U+001B", id="escape"),
    pytest.param("corrupted", "Mary\x85", "is the control character U+0085", id="C1 control"),
    pytest.param("target", "", "The target is empty: type one token", id="empty target"),
    pytest.param("foil", "", "The foil is empty: type one token", id="empty foil"),
    pytest.param("target", " Jones Smith", "·Jones | ·Smith", id="target of two tokens"),
    pytest.param("foil", " Jones Smith", "·Jones | ·Smith", id="foil of two tokens"),
    pytest.param("foil", " Jones", "Target and foil are both ·Jones", id="target and foil equal"),
    pytest.param("target", "x" * 1_000_000, "1,000,000 characters", id="1 MB target"),
]


@pytest.mark.parametrize("field, typed, says", BAD_INPUTS)
def test_a_mistake_is_named_at_its_field(open_app, field, typed, says):
    app = open_app().enter(**{field: typed})
    assert len(app.problems) == 1
    assert says in app.problems_at(field)[0]


@pytest.mark.parametrize("field, typed, says", BAD_INPUTS)
def test_a_mistake_loses_nothing_that_was_typed(open_app, field, typed, says):
    app = open_app().enter(metric="kl", direction="noise", bos=True).enter(**{field: typed})
    entered = {**presets.PRESETS[0].experiment("teaching").to_dict(), field: typed}
    entered |= {"metric": "kl", "direction": "noise", "bos": True}
    assert app.experiment.to_dict() == entered
    assert {name: app.widget(f"field_{name}").value for name in entered} == entered
    assert not app.maps


@pytest.mark.parametrize("field, typed, says", BAD_INPUTS)
def test_a_mistake_is_gone_once_it_is_mended(open_app, field, typed, says):
    app = open_app()
    before = app.map
    app.enter(**{field: typed}).enter(**{field: getattr(presets.PRESETS[0], field)})
    assert not app.problems
    np.testing.assert_array_equal(app.map, before)


def test_unequal_counts_say_by_how_many_and_where_the_texts_part(open_app):
    app = open_app().enter(
        clean="Michelle Jones was a student. Michelle",
        corrupted="Michelle was a student. Michelle",
    )
    assert app.problems == [
        "The texts must have the same number of tokens, but the clean text has 1 more:"
        " clean 7, corrupted 6. They part at position 1: ·Jones against ·was."
        " Swap in words that are as many tokens."
    ]
    assert any("clean (above) 7, corrupted (below) 6" in text for text in app.texts)


def test_a_text_that_cannot_be_run_is_not_run(open_app, sweeps):
    app = open_app(corrupted="Michelle")
    app.enter(clean="").enter(clean=CLEAN)
    assert sweeps == []


def test_recovery_of_runs_that_do_not_differ_is_refused_in_words(open_app):
    """One text twice cannot be asked for, but a last token apart can leave LD where it was."""
    app = open_app()
    model = running.load("teaching")
    study = app.at.session_state.job.study
    gap = (study.clean_state - study.corrupted_state) @ model.gpt.lm_head.weight.T  # (V,)
    words = [token.text for token in whole_words(model.encoder)]
    ids = [model.encoder.encode(word)[0] for word in words]
    order = sorted(zip(gap[ids].tolist(), words, strict=True))
    (_, target), (_, foil) = min(pairwise(order), key=lambda pair: pair[1][0] - pair[0][0])
    app.enter(metric="recovery", target=target, foil=foil)
    assert "Choose another target and foil, or another metric." in app.problems[0]
    assert not app.maps
    app.enter(metric="logit_diff")
    assert not app.problems and app.maps


# --- markup -------------------------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "$x$",
    "**b**",
    "[a](javascript:alert(1))",
    ":red[x] :material/home: --> &amp;",
    "😀👩‍👩‍👧",
    "漢字",
    "مرحبا \u202ex",
    "%{customdata[0]} {target}",
]
# What the app itself writes between, and inside of, what people type.
TAG = re.compile(
    r"</?(div|span|bdi|b|table|tr|th|td)( (class|title|role|style)=\"[^\"<>]*\")*>"
    r"|&(amp|lt|gt|quot|#x27);"
)


def assert_escaped(body: str) -> None:
    rest = TAG.sub("", body)
    assert not set("<>&") & set(rest), rest


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_in_a_text_is_shown_as_it_is(open_app, hostile):
    app = open_app().enter(clean=f"{hostile} Mary is", corrupted=f"{hostile} John is")
    assert not app.problems and len(app.maps) == 1
    for body in app.bodies:
        assert_escaped(body)
    ribbon = next(body for body in app.bodies if "pb-ribbon" in body)
    ids = running.load("teaching").encoder.encode(hostile)
    assert f"clean id {ids[0]}," in ribbon
    assert_nowhere_as_markup(app, hostile)


@pytest.mark.parametrize("hostile", ["<i>", "$x$", "**b**", "&lt;", "漢", "a\u202eb", "`x`"])
def test_markup_in_a_token_is_shown_as_it_is(open_app, hostile):
    app = open_app().enter(target=hostile, foil=f" {hostile}")
    assert len(app.problems) == 2
    for body in app.bodies:
        assert_escaped(body)
    assert_nowhere_as_markup(app, hostile)


@pytest.mark.parametrize("token", ["<", "&", "$", "*", "`", "\n"])
def test_a_target_of_markup_is_shown_as_it_is(open_app, token):
    """One byte is one token of any tokenizer of bytes, so these come as far as the figures."""
    app = open_app().enter(target=token, metric="target_prob")
    assert not app.problems
    shown = {"<": "&lt;", "&": "&amp;", "\n": "⏎"}.get(token, token)
    (figure,) = app.maps
    assert figure["data"][0]["colorbar"]["title"]["text"] == f"P({shown})"
    assert f"P({shown})" in next(body for body in app.bodies if "before any patch" in body)


def assert_nowhere_as_markup(app, hostile: str) -> None:
    for kind, text in app.strings():
        assert hostile not in text, f"{kind} has it: {text}"
    for figure in app.figures:
        for tag in ("<script", "<img", "<a "):
            assert tag not in json.dumps(figure)


def test_that_markup_in_markdown_would_be_found(open_app, monkeypatch):
    monkeypatch.setattr(html, "show", lambda markup, width="stretch": st.markdown(markup))
    app = open_app().enter(clean="$x$ Mary is", corrupted="$x$ John is", target="$x$")
    with pytest.raises(AssertionError, match="markdown has it"):
        assert_nowhere_as_markup(app, "$x$")


# --- the address --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field, value",
    [
        ("model", "gpt-9"),
        ("model", ""),
        ("metric", "accuracy"),
        ("direction", "sideways"),
        ("bos", "yes"),
        ("embedding", "2"),
        ("site", "nowhere"),
        ("window", "wide"),
        ("window", "-1"),
        ("metric", "<script>alert(1)</script>"),
    ],
)
def test_an_address_with_an_unknown_value_falls_back_and_says_so(open_app, field, value):
    app = open_app(**{field: value})
    (note,) = app.notes
    assert repr(value) in note and field in note and "opened without it" in note
    assert app.maps and not app.problems
    assert app.query[field] != value


def test_an_address_with_several_unknown_values_names_each(open_app):
    app = open_app(model="gpt-9", metric="accuracy", direction="sideways", bos="maybe")
    assert len(app.notes) == 4
    assert app.maps


def test_what_else_an_address_holds_is_kept_beside_an_unknown_value(open_app):
    app = open_app(clean=LONGER, corrupted=LONGER_CORRUPTED, metric="accuracy", bos="1")
    assert (app.experiment.clean, app.experiment.bos) == (LONGER, True)


def test_an_address_with_a_window_wider_than_the_model_is_opened(open_app):
    app = open_app(window="99")
    assert app.maps or app.problems or app.notes
    assert app.query == app.experiment.to_query()


def test_an_address_with_more_than_an_experiment_is_opened(open_app):
    app = open_app(utm_source="mail", metric="kl")
    assert app.experiment.metric == "kl"
    assert app.maps and not app.notes


def test_a_text_too_long_for_an_address_leaves_the_address_as_it_was(open_app):
    app = open_app()
    before = app.query
    app.enter(clean="a" * 100_000)
    assert app.query == before
    assert app.enter(clean="Mary").query == before | {"clean": "Mary"}


def test_a_note_about_the_address_goes_with_the_next_example(open_app):
    assert open_app(metric="accuracy").press(TITLES[1]).notes == []


CHANGES = [
    {"clean": LONGER, "corrupted": LONGER_CORRUPTED},
    {"target": " Smith", "foil": " Jones"},
    {"metric": "kl"},
    {"direction": "noise"},
    {"bos": True},
    {"embedding": False},
    {"corrupted": "a line\nand 100 % of $x$ & <b>漢字 😀+#?="},
    {"target": "two words"},
    {"clean": "", "corrupted": ""},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: ", ".join(change))
def test_the_address_holds_the_experiment_after_every_change(open_app, change):
    app = open_app().enter(**change)
    expected = replace(presets.PRESETS[0].experiment("teaching"), **change)
    assert app.experiment == expected
    assert app.query == expected.to_query()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: ", ".join(change))
def test_an_address_opens_as_the_page_it_was_taken_from(open_app, change):
    app = open_app().enter(**change)
    again = open_app(**app.query)
    assert again.experiment == app.experiment
    assert again.problems == app.problems
    assert again.figures == app.figures


# --- one click ----------------------------------------------------------------------------------


@pytest.mark.parametrize("field, word", [("target", "Jones"), ("foil", "Smith")])
def test_a_missing_space_is_put_in_with_one_click(open_app, field, word):
    app = open_app()
    before = app.map
    app.enter(**{field: word})
    assert app.buttons.count("Put a space before it") == 1
    app.press("Put a space before it")
    assert app.widget(f"field_{field}").value == f" {word}"
    assert "Put a space before it" not in app.buttons
    np.testing.assert_array_equal(app.map, before)


def test_no_space_is_offered_where_it_would_be_no_token(open_app):
    assert "Put a space before it" not in open_app().enter(target="Qzx").buttons


@pytest.mark.parametrize("field, side", [("target", "clean"), ("foil", "corrupted")])
def test_the_top_token_of_a_run_is_put_in_with_one_click(open_app, answer, field, side):
    app = open_app(target=" the", foil=" a")
    top = answer(app.experiment).top[side][0].token
    app.widget(f"top_{field}").click()
    app.run()
    assert app.widget(f"field_{field}").value == top.text
    assert getattr(app.experiment, field) == top.text


@pytest.mark.parametrize("field, side", [("target", "clean"), ("foil", "corrupted")])
def test_the_top_token_mends_a_field_that_cannot_be_read(open_app, answer, field, side):
    app = open_app(**{field: "no token at all"})
    app.widget(f"top_{field}").click()
    app.run()
    assert app.problems_at(field) == []


def test_the_top_token_is_not_offered_for_texts_that_cannot_be_run(open_app):
    app = open_app(clean="")
    assert app.widget("top_target").proto.disabled and app.widget("top_foil").proto.disabled


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
    monkeypatch.setattr("core.patching.WORKING_MEMORY", 1)  # as many steps as there are cells
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
    monkeypatch.setattr(running, "_ASK_ABOVE", -1)
    app = open_app()
    assert app.at.session_state.job.fraction == 0
    assert any("This sweep takes" in markdown.value for markdown in app.at.markdown)
    assert not app.at.get("download_button")
    app.press("Run it")
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)
    assert app.at.get("download_button")


def test_a_slow_sweep_shows_how_far_it_is(open_app, interrupted_at):
    interrupted_at(20)
    app = open_app()
    (bar,) = app.at.get("progress")
    fraction = app.at.session_state.job.fraction
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
    fraction = app.at.session_state.job.fraction
    interrupted_at(None)
    app.press("Cancel")
    assert app.at.session_state.job.fraction == fraction
    assert f"Stopped at {fraction:.0%}." in [markdown.value for markdown in app.at.markdown]
    assert np.isnan(app.map).any()
    assert not app.at.get("download_button")
    app.press("Go on")
    np.testing.assert_allclose(app.map, rounded(answer(app.experiment).values), atol=1e-4)
    assert app.at.get("download_button")


def test_a_sweep_goes_on_where_an_interruption_left_it(open_app, interrupted_at, sweeps):
    interrupted_at(20)
    app = open_app()
    fraction = app.at.session_state.job.fraction
    interrupted_at(1)
    app.enter(metric="kl")
    assert app.at.session_state.job.fraction > fraction
    assert len(sweeps) == 1


def test_another_text_drops_the_sweep_under_way(open_app, interrupted_at):
    interrupted_at(20)
    app = open_app()
    old = app.at.session_state.job
    interrupted_at(None)
    app.enter(clean=LONGER, corrupted=LONGER_CORRUPTED)
    assert app.at.session_state.job is not old
    assert old not in app.at.session_state.jobs.values()
    assert app.at.session_state.job.finished and not old.finished


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
    expected = app.at.session_state.job.study.story((3, 1))
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
