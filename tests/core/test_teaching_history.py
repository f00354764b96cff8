"""The checkpoints along the training: how exact they are, and what was measured of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core import catalogue, models
from core.checks import handover
from core.teaching import WEIGHTS, growth, history
from core.teaching.behaviours import BEHAVIOURS
from core.teaching.evaluate import only_token, questions
from core.teaching.growth import Grown, Growth
from core.teaching.history import Checkpoint
from mingpt.bpe import load_encoder
from mingpt.model import GPT, PatchParams


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(WEIGHTS)


def test_two_runs_have_the_same_ten_steps_or_more_spaced_by_their_logarithm():
    steps = {}
    for checkpoint in history.shipped():
        steps.setdefault(checkpoint.seed, []).append(checkpoint.step)
    assert steps[0] == steps[1] and len(steps[0]) >= 10
    assert steps[0][0] == 0
    ratios = [b / a for a, b in zip(steps[0][1:], steps[0][2:], strict=False)]
    assert all(1.3 < ratio < 1.55 for ratio in ratios)


def test_a_checkpoint_is_off_by_half_a_rounding_at_the_most(tmp_path):
    exact = models.load(catalogue.TEACHING, device="cpu").gpt
    exact.save_pretrained(tmp_path)
    history.save(exact, Checkpoint(1, 1).path(tmp_path))
    history.save(exact, Checkpoint(1, 2).path(tmp_path))
    for name, kept in history.load(Checkpoint(1, 1), tmp_path).state_dict().items():
        weight = exact.state_dict()[name]
        if weight.dim() == 1:
            torch.testing.assert_close(kept, weight, atol=1e-3, rtol=1e-3)
        else:
            root_mean_square = weight.square().mean(dim=1, keepdim=True).sqrt()
            largest = weight.abs().amax(dim=1, keepdim=True)
            step = torch.maximum(root_mean_square / history.FINENESS, largest / 127)
            assert ((kept - weight).abs() <= 0.51 * step).all()


def test_a_map_of_a_checkpoint_is_that_of_the_exact_weights(tmp_path):
    """Every example's cells under recovery, to 0.05; of cells beyond 1 to a twentieth."""
    exact = models.load(catalogue.TEACHING, device="cpu")
    exact.gpt.save_pretrained(tmp_path)
    for step in (1, 2):
        history.save(exact.gpt, Checkpoint(0, step).path(tmp_path))
    kept = exact.gpt, history.load(Checkpoint(0, 1), tmp_path).requires_grad_(False)
    maps = [dict(handover.examples(replace(exact, gpt=gpt))) for gpt in kept]
    for preset, result in maps[0].items():
        cells = result.grids["recovery"]
        off = np.abs(maps[1][preset].grids["recovery"] - cells) / np.maximum(1, np.abs(cells))
        assert off.max() <= 0.05, preset.title


def test_the_last_checkpoint_of_the_first_seed_is_the_model_itself():
    end = history.end(history.shipped())
    assert not end.path().exists()
    one, other = history.load(end).state_dict(), GPT.from_pretrained(WEIGHTS).state_dict()
    assert all(one[name].equal(other[name]) for name in other)


def test_a_name_stands_for_a_checkpoint():
    assert Checkpoint.named(Checkpoint(1, 700).name) == Checkpoint(1, 700)
    with pytest.raises(ValueError, match="'seed1-step' is no name of a checkpoint"):
        Checkpoint.named("seed1-step")


def test_what_was_measured_is_what_the_checkpoints_do(encoder):
    """Of one in the middle, and of all behaviours."""
    shipped = growth.shipped()
    assert set(shipped.behaviours) == {behaviour.name for behaviour in BEHAVIOURS}
    at = sorted(shipped.losses)[len(shipped.losses) // 3]
    model = history.load(at)
    for behaviour in BEHAVIOURS:
        assert set(shipped.behaviours[behaviour.name]) == set(history.shipped())
        again = growth.measure(model, encoder, behaviour, growth.PAIRS)
        kept = shipped.behaviours[behaviour.name][at]
        assert (again.at_last, again.head) == (kept.at_last, kept.head)
        assert again.beats_all == pytest.approx(kept.beats_all, abs=0.02)
        assert again.head_effect == pytest.approx(kept.head_effect, abs=0.01)


def test_the_last_position_carries_what_plain_patching_says(encoder):
    """The same sums, each patched run by itself."""
    model, behaviour = GPT.from_pretrained(WEIGHTS), BEHAVIOURS[-1]
    asked = questions(behaviour, 3, growth.SEED)
    brought, whole = torch.zeros(model.config.n_layer), 0.0
    for pair in asked:
        clean, corrupted = (
            torch.tensor([encoder.encode(text)]) for text in (pair.clean, pair.corrupted)
        )
        target, foil = (only_token(encoder, word) for word in (pair.target, pair.foil))

        def difference(logits, target=target, foil=foil):
            return (logits[0, -1, target] - logits[0, -1, foil]).item()

        with torch.no_grad():
            before = difference(model(corrupted)[0])
            after = difference(model(clean, store_activations=True)[0])
            whole += after - before
            kept = dict(model.layer_activations)
            last = clean.shape[1] - 1
            for layer, activation in kept.items():
                patch = PatchParams(layer, last, activation[:, last])
                brought[layer] += difference(model(corrupted, patch_params=patch)[0]) - before
    with torch.no_grad():
        found, heads = growth._effects(model, encoder, asked)
    torch.testing.assert_close(found, brought / whole, atol=1e-4, rtol=0)
    assert heads.shape == (model.config.n_layer, model.config.n_head)


def test_growth_comes_back_from_its_file():
    at = Checkpoint(1, 20)
    grown = Growth(2.5, {at: 3.5}, {"a": {at: Grown(0.5, 0.4, 0.3, None, (1, 2), 0.9)}})
    assert Growth.from_json(grown.to_json()) == grown


def test_a_behaviour_is_there_from_the_first_step_on_at_which_half_is_right():
    def grown(share):
        return Grown(1.0, share, 0.0, None, (0, 0), 0.0)

    assert growth.since({0: grown(0.0), 5: grown(0.49), 7: grown(0.5), 9: grown(0.4)}) == 7
    assert growth.since({0: grown(0.0), 5: grown(0.49)}) is None


def test_a_trained_model_foresees_better_than_pairs_of_words_and_an_untrained_one_worse():
    shipped = growth.shipped()
    for seed in (0, 1):
        losses = [loss for at, loss in sorted(shipped.losses.items()) if at.seed == seed]
        assert losses[0] > shipped.bigram_loss > losses[-1]
