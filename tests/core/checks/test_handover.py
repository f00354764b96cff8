"""The hand-over: it is found where it is, and every example's map on the bundled model shows it."""

from dataclasses import replace

import numpy as np
import pytest

from core import catalogue, models
from core.checks import handover
from core.checks.handover import HandOver
from core.presets import offered


def map_of(result, **columns):
    """The result with recovery by layer in some columns, "at" position 1 and "last", else 0."""
    recovery = np.zeros((5, len(result.clean)), dtype=np.float32)
    recovery[:, 1] = columns.get("at", 0)
    recovery[:, -1] = columns["last"]
    return replace(result, grids={"recovery": recovery})


@pytest.mark.parametrize(
    ("at", "last", "found", "shown"),
    [
        ((1, 1, 1, 0.7, 0), (0, 0, 0, 0.9, 1), HandOver(1, (0, 1), 2), True),
        ((1, 1, 0.9, 0.8, 0.8), (0, 0, 0, 0, 1), HandOver(1, (0, 1, 2), 3), True),
        ((1, 0.9, 0.7, 0.9, 0), (0, 0, 1, 0.3, 1), HandOver(1, (0, 2), 3), True),
        ((1, 1, 0.7, 0, 0), (0, 0, 0, 0.9, 1), HandOver(1, (0,), 2), False),
        ((1, 1, 1, 1, 1), (0, 0.9, 0.9, 0.9, 1), HandOver(0, (), 0), False),
        ((1, 0, 0, 0, 0), (0, 0, 0, 0, 1), HandOver(0, (), 3), False),
    ],
)
def test_what_carries_before_the_last_position_does(result, at, last, found, shown):
    found_here = handover.hand_over(map_of(result, at=at, last=last))
    assert (found_here, found_here.is_shown) == (found, shown)


def test_some_pairs_have_nothing_to_hand_over(result):
    parted = replace(result, corrupted=(*result.clean[:-1], result.target))
    alike = replace(result, grids={"logit_diff": result.grids["logit_diff"]})
    for shown, why in ((parted, "differ in the last token alone"), (alike, "are answered alike")):
        assert handover.hand_over(shown) is None
        assert handover.line("Title", shown) == f"  --   Title: the texts {why}"


def test_each_map_is_put_into_a_line(result):
    held = map_of(result, at=(1, 1, 0.9, 0, 0), last=(0, 0, 0, 1, 1))
    assert handover.line("Title", held) == (
        "  ok   Title: ·Lee (position 1) carries at least 0.90 in layers 0, 1;"
        " the last position from layer 2 on"
    )
    assert handover.line("Title", map_of(result, last=1)) == (
        "FAILED Title: no other position carries before it; the last position from layer 0 on"
    )


def test_every_example_of_the_bundled_model_hands_over():
    model = models.load(catalogue.TEACHING, device="cpu")
    maps = dict(handover.examples(model))
    assert set(maps) == set(offered(model.entry, model.encoder))
    found = {preset.title: handover.hand_over(result) for preset, result in maps.items()}
    assert found.pop("Another first name at the end") is None
    assert [title for title, hand_over in found.items() if not hand_over.is_shown] == []
