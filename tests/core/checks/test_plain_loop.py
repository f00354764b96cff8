"""The plain loop: the sweep's map from runs that share nothing, and the lines they run on."""

import numpy as np

from core.checks import plain_loop
from core.steps import finish
from tests import builders


def test_the_map_of_plain_runs_is_that_of_the_sweep(loaded):
    asked = builders.experiment()
    study = builders.finished(asked, loaded)
    result = study.read(asked)
    ids, (target, foil) = study.plain.ids, (result.target.id, result.foil.id)
    shown = finish(
        plain_loop.logit_differences(loaded.gpt, ids["corrupted"], ids["clean"], target, foil)
    )
    assert np.ptp(shown) > 0.1
    np.testing.assert_allclose(shown, result.values, atol=1e-4)


def test_the_lines_that_store_and_patch_are_the_models_own():
    """Cut out at its start and its end, whatever becomes of them in between."""
    lines = plain_loop.source().splitlines()
    assert lines[0].startswith("x = self.embed(idx)")
    assert lines[-1].startswith("    self.last_token_logits = ")
    stored = "self.layer_activations[layer] = "
    patched = "x[:, patch_params.position] = "
    assert sum(stored in line for line in lines) == sum(patched in line for line in lines) == 1
    assert 10 <= len(lines) <= 18
