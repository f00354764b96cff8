"""Figures of many pairs, against numbers taken from the pairs by hand."""

from html import unescape

import numpy as np
import pytest

from core.many.answer import Answer
from core.many.fitting import LAST, Fitted
from core.many.pairs import Pair
from core.many.values import Screened, Swept, Values
from core.question.experiment import Experiment
from core.question.tokens import Token
from core.result import ModelCard
from core.views import many_figures, many_maps, many_sentences
from core.views.many_sentences import differ_in
from core.views.words import effects_differ, marks_mean, number

CARD = ModelCard("teaching", "123abc", 3, 1000)
HOSTILE = "<b>%{x}</b>"
ROLES = (("S1", (1,)), (HOSTILE, (2,)), (LAST, (3,)))
N = 40


def screened(clean: float = -4.0, corrupted: float = 3.0) -> Screened:
    return Screened(clean, corrupted, 1, 2, 0.9, 0.3, Token(1, " a"), Token(2, HOSTILE))


def answer(effects: np.ndarray, site: str = "resid_post", metric: str = "recovery") -> Answer:
    """LD is 3 on the corrupted run and -4 on the clean one; effects (n, 3, columns) of recovery."""
    pairs = []
    for i, effect in enumerate(effects):
        group = ("ABBA", "BABA")[i % 2]
        pair = Pair(
            f"{HOSTILE}{i}", i + 2, f"clean {HOSTILE}", "corrupted", (" a",), (" b",), group
        )
        fitted = Fitted(pair, (1, 2, 3, 4), (1, 2, 5, 4), (1,), (2,), ROLES)
        values = Values({"logit_diff": (-4.0, 3.0)}, {"logit_diff": (3 - 7 * effect)})
        pairs.append(Swept(fitted, screened(), values))
    columns = tuple(name for name, _ in ROLES)
    return Answer.of(
        pairs,
        experiment=Experiment("", "", "", "", site=site, metric=metric),
        model=CARD,
        axes=("layer", "head" if site == "head_z" else "role"),
        rows=("0", "1", "2"),
        columns=columns if site != "head_z" else ("0", "1", "2"),
        tokens=(),
        keep="all",
        given=N + 1,
        dropped=(),
        left_out=(),
    )


@pytest.fixture(scope="module")
def effects() -> np.ndarray:
    """Nothing in the first column, 0.5 and noise in the second, 1 in the last cell alone."""
    rng = np.random.default_rng(0)
    found = np.zeros((N, 3, 3))
    found[:, :, 1] = 0.5 + rng.normal(size=(N, 3)) * 0.1
    found[:, 2, 2] = 1
    found[3, 0, 1] = 4.0  # far from all others
    return found


def marked(figure, symbol: str) -> list:
    """The traces whose markers are such."""
    return [of for of in figure.data if of.type == "scatter" and of.marker.symbol == symbol]


def test_a_hover_has_the_mean_the_interval_the_agreement_and_five_numbers(effects):
    found = answer(effects)
    hits = many_maps.heatmap(found).data[-1]
    cell = next(list(of) for of in hits.customdata if list(of[:2]) == ["0", "1"])
    values, s = effects[:, 0, 1], found.summary
    assert cell[2] == "layer 0" and unescape(cell[3]) == "<b>%{x}</b>"
    assert cell[4] == number("recovery", values.mean())
    assert cell[5] == f"{s.low[0, 1]:.4f} to {s.high[0, 1]:.4f}"
    assert cell[6] == f"{(values > 0).mean():.0%}"
    quantiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    assert cell[7:] == [number("recovery", value) for value in quantiles]
    assert hits.hovertemplate.count("%{customdata") == 10 and "40 pairs" in hits.hovertemplate


@pytest.mark.parametrize("clickable", [True, False])
def test_cells_that_may_be_without_effect_are_crossed_out(effects, clickable):
    found = answer(effects)
    (crosses,) = marked(many_maps.heatmap(found, clickable=clickable), "x-thin")
    places = set(zip(crosses.y.tolist(), crosses.x.tolist(), strict=True))
    assert places == {(0, 0), (1, 0), (2, 0), (0, 2), (1, 2)}
    assert crosses.hoverinfo == "skip"
    assert "Framed" not in marks_mean(found)


def test_of_heads_those_that_stand_out_are_framed(effects):
    found = answer(effects * [[[0, 0, 1]]], "head_z")
    dark, light, hits = marked(many_maps.heatmap(found), "square")
    for frame in (dark, light):
        assert (frame.y.tolist(), frame.x.tolist()) == ([2], [2])
    assert len(hits.x) == 9 and "Framed" in marks_mean(found)


def test_a_difference_is_of_two_answers_cell_by_cell(effects):
    one, other = answer(effects), answer(effects[::-1] / 2)
    figure = many_maps.difference(one, other)
    drawn = figure.data[0].z * figure.data[0].meta
    np.testing.assert_allclose(drawn, one.values - other.values)
    fields = figure.data[0].customdata[2, 2]
    assert fields[4:].tolist() == ["1.0000", "0.5000", "0.5000", "1.0000", "0.5000"]


def test_a_difference_is_of_effects_not_of_where_the_plain_runs_lie(effects):
    """Pairs whose LD is 10 more, patched or not, differ in no effect."""
    one = answer(effects, metric="logit_diff")
    lifted = [
        of._replace(
            values=Values(
                {"logit_diff": (6.0, 13.0)}, {"logit_diff": of.values.grids["logit_diff"] + 10}
            )
        )
        for of in one.pairs
    ]
    other = Answer.of(lifted, **one._about())
    np.testing.assert_allclose(many_maps.difference(one, other).data[0].z, 0, atol=1e-5)
    assert "of those pairs" not in effects_differ(one)
    assert "as a share of the difference" in effects_differ(answer(effects))


def test_a_strip_has_every_pair_once_with_its_index_and_its_texts_literally(effects):
    found = answer(effects)
    figure = many_figures.strip(found, 0, 1)
    of_traces = (zip(of.x, of.y, of.customdata, strict=True) for of in figure.data)
    dots = [dot for of_trace in of_traces for dot in of_trace]
    assert len(dots) == N
    for x, y, (i, said, *words) in dots:
        assert x == pytest.approx(effects[i, 0, 1], abs=1e-6)
        assert round(y) == i % 2  # a lane for each group
        assert said == number("recovery", x)
        assert words[1] == "clean: clean &lt;b&gt;&#37;{x}&lt;/b&gt;"
    far = [
        dot[0]
        for trace in figure.data
        if trace.marker.symbol == "diamond"
        for dot in trace.customdata
    ]
    assert far[0] == 3 == many_figures.outliers(found, 0, 1)[0]
    values = effects[:, 0, 1]
    first, third = np.quantile(values, (0.25, 0.75))
    reach = 1.5 * (third - first)
    expected = np.flatnonzero((values < first - reach) | (values > third + reach))
    assert sorted(far) == expected.tolist()
    again = many_figures.strip(found, 0, 1)
    assert again == figure
    assert "40 used of 41 given" in many_figures.strip_says(found, 0, 1)


def test_peaks_count_the_pairs_by_the_layer_in_which_they_move_most(effects):
    found = answer(effects)
    last = many_figures.peaks(found, 2).data[0]
    assert list(last.x) == [0, 0, N]
    second = many_figures.peaks(found, 1).data[0]
    expected = np.bincount(np.abs(effects[:, :, 1]).argmax(axis=1), minlength=3)
    assert list(second.x) == expected.tolist()
    anywhere = many_figures.peaks(found).data[0]
    assert list(anywhere.x) == [1, 0, N - 1]
    assert sum(many_figures.peaks(found, 0).data[0].x) == 0
    assert f"Nothing moves {N} of them" in many_figures.peaks_say(found, 0)


def test_screening_shows_both_differences_of_every_pair_and_who_is_left_out(effects):
    pair = answer(effects).pairs[0].pair
    rows = [(pair, screened(), ""), (pair, screened(1.0, 2.0), "does not flip <b>")]
    used, out = many_figures.screening(rows).data
    assert (list(used.x), list(used.y), list(out.x), list(out.y)) == ([-4], [3], [1], [2])
    assert (used.marker.symbol, out.marker.symbol) == ("circle", "circle-open")
    assert out.customdata[0][-1] == "left out: does not flip &lt;b&gt;"
    assert "&lt;b&gt;&#37;{x}&lt;/b&gt;" in out.customdata[0][6]
    assert many_figures.screening(rows[:1]).data[1].name == "left out (0)"
    says = many_sentences.screened_says(3, rows, ["one row"])
    assert says == (
        "3 given (1 cannot be used). That flip: 1; with the target first on the clean run: 2; with"
        " the foil first on the corrupted one: 0; used: 1."
    )


def test_a_sentence_says_where_how_sure_and_whether_pairs_disagree(effects):
    says = many_sentences.says(answer(effects, site="resid_pre"))
    assert says.startswith(
        "Strongest: layer 2 at last position, Recovery (ratio of means) 1.0000 (95% interval 1.0000"
        " to 1.0000; without a patch 0.0000), over 40 pairs, of which all move that way. In 4 of 9"
        " cells the interval excludes zero effect. More than half of the effect is at"
        f" {HOSTILE} from layer 0 to layer 1, then at last position in layer 2."
    )
    mixed = effects * np.where(np.arange(N) % 4, 1, -1)[:, None, None]
    assert "of which 75% move that way" in many_sentences.says(answer(mixed))
    assert "The pairs disagree there" in many_sentences.says(answer(mixed))
    few = many_sentences.says(answer(effects[:1] / 100))
    assert few.startswith("No patch does much over this pair. Strongest: ")


def test_the_cell_that_is_the_run_put_in_is_not_called_the_strongest(effects):
    """The last layer's whole stream at the last position, which says nothing of the model."""
    says = many_sentences.says(answer(effects))
    assert "which is the run put in): layer 0 at" in says
    assert "Strongest: layer 2 at last" in many_sentences.says(answer(effects * [0, 0, 1]))


def test_who_disagrees_is_told_by_what_the_patch_did_not_by_where_the_runs_lie(effects):
    """A pair whose plain runs lie far from the others' is no outlier; one that is not moved is."""
    found = answer(effects * 0 + np.array([0, 0.5, 1.0]), metric="logit_diff")
    pairs = list(found.pairs)
    far, still = pairs[5], pairs[7]
    moved = Values(
        {"logit_diff": (-44.0, -37.0)}, {"logit_diff": far.values.grids["logit_diff"] - 40}
    )
    stays = Values(still.values.baselines, {"logit_diff": np.full((3, 3), 3.0)})
    pairs[5], pairs[7] = far._replace(values=moved), still._replace(values=stays)
    found = Answer.of(pairs, **found._about())
    assert many_figures.outliers(found, 0, 1)[0] == 7
    assert many_figures.outliers(found, 0, 1, only_far=True) == [7]
    np.testing.assert_allclose(found.own_shares(0, 1)[[5, 6, 7]], [0.5, 0.5, 0.0], atol=1e-6)


def test_an_interval_over_few_pairs_is_not_said_without_a_word(effects):
    assert "Over 1 pair an interval says little" in many_sentences.says(answer(effects[:1]))
    assert "of which there are 2: too few" in many_sentences.says(answer(effects))


@pytest.mark.parametrize(
    ("clean", "corrupted", "says"),
    [
        ("Mary and John, John gave", "Mary and John, Mary gave", "John / Mary"),
        ("a b c d e", "a x c y z e", "b / x, d / y z"),
        ("a b", "a b c", "- / c"),
    ],
)
def test_the_words_in_which_two_texts_differ_stand_by_themselves(clean, corrupted, says):
    assert differ_in(clean, corrupted) == says
