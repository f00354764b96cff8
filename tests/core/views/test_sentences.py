"""The sentences that a lens and a map are put into: true whatever the numbers are."""

from dataclasses import replace

import numpy as np
import pytest

from core.question.tokens import Token
from core.result import Baseline, SmokeTest
from core.views.sentences import does_most, lens_says, predicts, where_it_is

A, B = Token(1, " A"), Token(2, " B")
ROWS = ("embedding", "0", "1", "2")


@pytest.mark.parametrize(
    ("tops", "says"),
    [
        ("AAAA", "is ·A at once, from the embedding on"),
        ("BAAA", "becomes ·A after layer 0 and stays so"),
        ("BBBA", "becomes ·A after layer 2, the last"),
        ("ABAA", "is ·A on and off, and for good after layer 1"),
        ("BABA", "is ·A on and off, and for good after layer 2"),
        ("AABB", "is ·A for the last time after layer 0, and ends as ·B, with ·A at rank 1,234"),
        ("BBBB", "never becomes ·A, and ends as ·B, with ·A at rank 1,234"),
    ],
)
def test_when_a_run_comes_to_expect_a_token(tops, says):
    assert lens_says(ROWS, [A if top == "A" else B for top in tops], A, 1234) == says


@pytest.mark.parametrize(
    ("at_the_word", "at_the_end", "says"),
    [
        ((1, 1, 0, 0), (0, 0, 0, 1), "WORD from the embedding to layer 0, then END in layer 2"),
        ((1, 0.4, 0.4, 0), (0, 0.6, 0.7, 1), "WORD in the embedding, then END from layer 0 on"),
        ((1, 0.6, 0.9, 0.9), (0, 0.9, 0.4, 1), "WORD in the embedding, then END in layer 0, then"
         " WORD in layer 1, then END in layer 2"),
        ((0.6, 0, 0, 0), (0.7, 1, 1, 1), "END from the embedding on"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_a_map_says_at_which_position_the_effect_is(
    result, direction, at_the_word, at_the_end, says
):
    """Whichever run is put in, and whatever the metric."""
    ends = (-4.0, 6.0) if direction == "denoise" else (6.0, -4.0)  # put in, and patched into
    effect = np.zeros((4, len(result.clean)), dtype=np.float32)
    effect[:, 1], effect[:, -1] = at_the_word, at_the_end
    shown = replace(
        result,
        experiment=replace(result.experiment, direction=direction, metric="kl"),
        rows=ROWS,
        grids={"logit_diff": ends[1] + (ends[0] - ends[1]) * effect},
        baselines={"logit_diff": Baseline(clean=-4.0, corrupted=6.0)},
    )
    for name, place in (("WORD", 1), ("END", len(result.clean) - 1)):
        says = says.replace(name, f"at {result.clean[place].label} (position {place})")
    assert where_it_is(shown) == f"More than half of the effect is {says}."
    nowhere = replace(shown, grids={"logit_diff": shown.grids["logit_diff"] * 0 + ends[1]})
    assert where_it_is(nowhere) == "No single position brings half of the effect."
    shown.grids["logit_diff"][3, 0] = np.nan
    assert where_it_is(shown) is None  # not all of it is known yet
    alike = replace(nowhere, baselines={"logit_diff": Baseline(1.0, 1.4)})
    assert where_it_is(alike) is None


def test_maps_of_heads_and_of_ablations_have_no_such_place(result):
    ablation = replace(result, experiment=replace(result.experiment, direction="zero"))
    heads = replace(result, axes=("layer", "head"))
    assert where_it_is(ablation) is None and where_it_is(heads) is None


@pytest.mark.parametrize(
    ("loss", "of_its_size", "says"),
    [
        (3.5, 3.12, "It predicts a few plain sentences at 3.50 nats per token; who knows how"
         " frequent words are, and nothing else, needs about 7.6, GPT-2 of this size 3.1"
         " (published, for long web texts)."),
        (5.2, 3.12, "This model does not predict ordinary text; is its config right? It needs 5.20"
         " nats per token for a few plain sentences; who knows how frequent words are, and nothing"
         " else, needs about 7.6, GPT-2 of this size 3.1 (published, for long web texts)."),
        (5.2, None, "It predicts a few plain sentences at 5.20 nats per token; who knows how"
         " frequent words are, and nothing else, needs about 7.6."),
        (7.6, None, "This model does not predict ordinary text; is its config right? It needs 7.60"
         " nats per token for a few plain sentences; who knows how frequent words are, and nothing"
         " else, needs about 7.6."),
        (None, None, "This model does not predict ordinary text; is its config right? It needs no"
         " number for a few plain sentences; who knows how frequent words are, and nothing else,"
         " needs about 7.6."),
    ],
)  # fmt: skip
def test_how_well_a_model_predicts_stands_beside_what_else_does(loss, of_its_size, says):
    assert predicts(SmokeTest("A text.", loss, 30, 7.6, of_its_size)) == says


def test_of_several_maps_the_patch_that_moves_most_is_named_with_its_numbers(result):
    base, other = 6.0, -4.0
    result = replace(result, baselines={"logit_diff": Baseline(clean=other, corrupted=base)})
    still, moved = (np.full_like(result.values, base) for _ in range(2))
    moved[-1, 1] = base + 0.25 * (other - base)
    maps = [
        replace(result, experiment=replace(result.experiment, site=site), grids={"logit_diff": of})
        for site, of in (("attn_out", still), ("mlp_out", moved))
    ]
    says = does_most(*maps)
    layer, name = result.rows[-1], result.clean[1].label
    assert f"the mlp_out of layer {layer} at position 1 ({name})" in says
    assert f"from {base:.4f} to {moved[-1, 1]:.4f}, 25% of the way to the {result.other}" in says
    assert does_most(maps[0]).startswith("No patch does much here")
