"""Components, Lens and Compare, without a browser: what `core` says is what stands there."""

from dataclasses import replace

import numpy as np
import pytest

from core.presets import PRESETS
from core.question.experiment import SIDES
from pages.parts import running
from tests.builders import finished
from tests.pages.conftest import nothing_by_itself, values

DEFAULT = PRESETS[0].experiment("teaching")


@pytest.fixture
def study(teaching):
    """A finished study of the default texts, by heads."""
    return finished(replace(DEFAULT, site="head_z", embedding=False), teaching)


def files(app) -> list[str]:
    """What the buttons of the downloads say."""
    return [button.proto.label for button in app.at.get("download_button")]


def scale(figure: dict) -> tuple[float, float]:
    return figure["data"][0]["zmin"], figure["data"][0]["zmax"]


@pytest.mark.parametrize("page", ["components", "compare"])
def test_every_sweep_of_a_page_can_be_slow(open_app, monkeypatch, page):
    """Each with its bar and its Cancel; none is at hand from the page before."""
    monkeypatch.setattr(running, "_SHOW_AFTER", -1)
    monkeypatch.setattr(running, "_SAY_EVERY", -1)
    assert len(open_app(direction="zero").go_to(page).maps) >= 2


def test_every_sweep_of_a_page_can_be_so_long_that_it_asks(open_app, monkeypatch):
    nothing_by_itself(monkeypatch)
    app = open_app().go_to("compare")
    assert app.buttons.count("Run it") == 2
    app.press("Run it").press("Run it")
    assert len(app.maps) == 2


# --- Components -----------------------------------------------------------------------------------


@pytest.mark.parametrize("question", [{}, {"direction": "noise", "metric": "recovery"}])
def test_the_stream_and_its_parts_stand_on_one_scale_and_every_head_is_a_cell(
    open_app, answer, question
):
    app = open_app(**question).go_to("components")
    for shown, site in zip(app.maps, ("resid_post", "attn_out", "mlp_out", "head_z"), strict=True):
        asked = replace(app.experiment, site=site, embedding=False, window=0)
        np.testing.assert_allclose(values(shown), answer(asked).values, atol=1e-4)
    assert len({scale(shown) for shown in app.maps[:3]}) == 1


def test_a_chosen_head_shows_where_it_reads_on_both_runs(open_app, study):
    app = open_app().go_to("components").choose("2", 3)
    assert any(
        "the output z of head 3 in layer 2 at every position replaced" in text for text in app.texts
    )
    for shown, table, side in zip(app.maps[4:], app.tables, SIDES, strict=True):
        pattern = study.plain.attention(side, layer=2, head=3)
        np.testing.assert_allclose(values(shown), pattern, atol=1e-5)
        strongest = sorted(pattern[-1].tolist(), reverse=True)[:5]
        assert [row["weight"] for row in table] == pytest.approx(strongest, abs=1e-6)
        tokens = study.plain.tokens[side]
        assert [row["token"] for row in table] == [tokens[row["position"]].label for row in table]
    of_a_map = ["PNG", "SVG", "PDF", "CSV: grid"]
    assert files(app) == [
        "JSON",
        *(of_a_map * 4),
        *(f"CSV: attention, {side} run" for side in SIDES),
    ]


def test_the_preview_is_shown_with_its_correlation_with_the_exact_map(open_app, study):
    app = open_app().go_to("components")
    assert len(app.maps) == 4
    app.widget("preview").set_value(True)
    app.run()
    expected = study.head_preview(DEFAULT)
    np.testing.assert_allclose(values(app.maps[4]), expected, atol=1e-4)
    correlation = np.corrcoef(expected.ravel(), values(app.maps[3]).ravel())[0, 1]
    assert any(f"**{correlation:.3f}**" in words for words in app.words)


@pytest.mark.parametrize("page", ["components", "lens", "compare"])
def test_the_same_inputs_stand_on_every_page_that_works_on_the_experiment(open_app, page):
    app = open_app(corrupted="Michelle").go_to(page)
    assert any("same number of tokens" in problem for problem in app.problems)
    assert app.figures == [] and app.answered is None
    app.enter(corrupted=DEFAULT.corrupted)
    assert app.figures and not app.problems
    assert app.answered == app.experiment == DEFAULT


# --- Lens -----------------------------------------------------------------------------------------


def test_the_lens_ends_in_what_each_run_says_and_the_attributions_sum_to_it(open_app, answer):
    app = open_app().go_to("lens")
    result = answer(app.experiment)
    (lines,), bars = (
        [figure for figure in app.figures if figure["data"][0]["type"] == kind]
        for kind in ("scatter", "bar")
    )
    ends = [trace["y"][-1] for trace in lines["data"]]  # target and foil of each run
    for shown, at, bar, side in zip(app.maps[:2], (0, 2), bars, SIDES, strict=True):
        best = result.top[side][0]
        assert f"on the {side} run it" in app.notes[0] and best.token.label in app.notes[0]
        assert values(shown)[-1, -1] == pytest.approx(best.prob, abs=1e-5)
        assert shown["data"][1]["text"][-1] == best.token.label[:9]
        assert values(shown).shape == (1 + result.model.layers, 10)
        difference = pytest.approx(getattr(result.baselines["logit_diff"], side), abs=1e-3)
        assert ends[at + 1] - ends[at] == difference
        assert sum(np.sum(trace["y"]) for trace in bar["data"]) == difference


def test_both_lenses_of_a_long_text_are_asked_for_with_one_click(open_app, monkeypatch):
    nothing_by_itself(monkeypatch)
    app = open_app().go_to("lens").press("Run it")
    assert app.buttons.count("Run it") == 1 and not app.figures
    assert len(app.press("Run it").figures) > 4


# --- Compare --------------------------------------------------------------------------------------


def test_denoise_and_noise_stand_side_by_side(open_app, answer):
    app = open_app().go_to("compare")
    for shown, direction in zip(app.maps, ("denoise", "noise"), strict=True):
        expected = answer(replace(app.experiment, direction=direction)).values
        np.testing.assert_allclose(values(shown), expected, atol=1e-4)
    kinds = ("PNG", "SVG", "PDF")
    pictures = [f"{kind}: {name}" for name in ("denoise", "noise") for kind in kinds]
    assert files(app) == [*pictures, "CSV: both", "JSON"]
    (low, high), (other_low, other_high) = map(scale, app.maps)
    assert high - low == pytest.approx(other_high - other_low)


def test_a_pinned_result_stands_beside_the_present_one_and_their_difference(open_app, answer):
    app = open_app().go_to("compare").press("Pin the present result")
    assert len(app.maps) == 2 and any("present result is pinned" in note for note in app.notes)
    pinned = app.experiment
    app.go_to("patch").enter(corrupted=pinned.corrupted.replace("Smith", "Turner"), foil=" Turner")
    app.go_to("compare")
    one, other = answer(pinned).values, answer(app.experiment).values
    assert np.abs(other - one).max() > 0.01
    for shown, expected in zip(app.maps[2:], (one, other, other - one), strict=True):
        np.testing.assert_allclose(values(shown), expected, atol=1e-3)
    assert len({high - low for low, high in map(scale, app.maps[2:4])}) == 1
    plain = [answer(asked).baselines["logit_diff"].corrupted for asked in (app.experiment, pinned)]
    shows = f"a cell that neither patch changes shows {plain[0] - plain[1]:z.4f}"
    assert any(shows in node.value for node in app.at.caption)
    app.go_to("patch").enter(metric="kl").go_to("compare")
    assert len(app.maps) == 4
    assert any("two maps of one size under one metric" in note for note in app.notes)


def test_heads_by_position_are_compared_at_one_position(open_app, answer):
    app = open_app(site="head_z_position", embedding="0").go_to("compare")
    expected = answer(replace(app.experiment, direction="noise")).values
    np.testing.assert_allclose(values(app.maps[1]), expected[:, :, -1], atol=1e-4)
