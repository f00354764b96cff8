"""What became of a patch, against hooked runs of Hugging Face's GPT-2."""

from itertools import product

import pytest
import torch

from core.engine.runs import record
from core.reading.trace import PARTS, trace
from tests.builders import steps_of
from tests.hooked_gpt2 import (
    FOIL,
    TARGET,
    Edit,
    Hooked,
    ablated,
    both_kinds,
    close,
    difference,
    put,
    texts,
    twins,
)

L, H, T = 3, 2, 6
BASE, SOURCE = texts(T, 1)


@pytest.mark.parametrize("source", ["run", "zero", "position_mean"])
@pytest.mark.parametrize("layer", [-1, 0, 1, 2])
@pytest.mark.parametrize("position", [0, 1, T - 1])
@both_kinds
def test_a_patch_is_followed_through_layers_parts_and_readers(settings, source, layer, position):
    theirs, ours = twins(L, H, 12, **settings)
    hooked = Hooked(theirs)

    def patch(site: str, at: int) -> Edit:
        if source == "run":
            return site, at, put(position, hooked.kept(SOURCE, site)[at])
        return site, at, put(position, ablated(hooked.kept(BASE, site)[at], source, site))

    edits = [patch("resid_post", layer) if layer >= 0 else patch("resid_pre", 0)]
    base, other = record(ours, BASE, SOURCE)
    other = other if source == "run" else source
    fractions, found = steps_of(trace(ours, base, other, layer, position, TARGET, FOIL))
    assert fractions == sorted(fractions) and len(fractions) > 1

    def by_layer(ids: tuple[int, ...], edits=()) -> torch.Tensor:
        streams = [hooked.kept(ids, "resid_pre", edits)[0]]
        streams += hooked.kept(ids, "resid_post", edits).values()
        ends = theirs.transformer.ln_f(torch.stack([stream[-1] for stream in streams]))
        return difference(theirs.lm_head(ends))

    expected = {"base": by_layer(BASE), "patched": by_layer(BASE, edits)}
    if source == "run":
        expected["source"] = by_layer(SOURCE)
    assert found.by_layer.keys() == expected.keys()
    for name, line in expected.items():
        close(found.by_layer[name], line)
    close(found.base, difference(hooked.run(BASE)))
    close(found.patched, difference(hooked.run(BASE, edits)))

    assert tuple(found.parts) == (PARTS if layer >= 0 else ())
    for part, value in found.parts.items():
        close(value, difference(hooked.run(BASE, [patch(part, layer)])))

    # Path patching: every head's z as it is in the patched run, alone put into the base.
    kept = hooked.kept(BASE, "head_z", edits)
    for reader, head in product(range(L), range(H)):
        alone = [("head_z", reader, put((slice(None), head), kept[reader]))]
        close(found.readers[reader, head], difference(hooked.run(BASE, alone)))
