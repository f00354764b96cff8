"""The plain loop: the lines of the model that it runs on."""

from core.checks import plain_loop


def test_the_lines_that_store_and_patch_are_the_models_own():
    """Cut out at its start and its end, whatever becomes of them in between."""
    lines = plain_loop.source().splitlines()
    assert lines[0].startswith("x = self.embed(idx)")
    assert lines[-1].startswith("    self.last_token_logits = ")
    stored = "self.layer_activations[layer] = "
    patched = "x[:, patch_params.position] = "
    assert sum(stored in line for line in lines) == sum(patched in line for line in lines) == 1
    assert 10 <= len(lines) <= 18
