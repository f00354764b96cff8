"""A study: swept once, asked as many questions as you like."""

from dataclasses import astuple

import numpy as np
import pytest
import torch

from core.engine import patching
from core.errors import UserError
from core.question.metrics import METRICS
from core.study import Study
from mingpt.model import PatchParams
from tests.builders import CLEAN, CORRUPTED, experiment, finished, loaded_model

LAYERS, POSITIONS = 3, 7  # of the shared model and text pair


def ids_of(loaded, text: str) -> torch.Tensor:
    return torch.tensor([loaded.encoder.encode(text)])


@torch.no_grad()
def patched_logits(loaded, base: str, source: str, layer: int, position: int) -> torch.Tensor:
    """What one plain patched forward pass says comes next: (V,)."""
    gpt = loaded.gpt
    gpt(ids_of(loaded, source), store_activations=True)
    activation = gpt.layer_activations[layer][0, position]
    logits, _ = gpt(ids_of(loaded, base), patch_params=PatchParams(layer, position, activation))
    return logits[0, -1]


@torch.no_grad()
def plain_logits(loaded, text: str) -> torch.Tensor:
    return loaded.gpt(ids_of(loaded, text))[0][0, -1]


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_values_are_those_of_plain_patched_passes(loaded, direction):
    asked = experiment(direction=direction)
    result = finished(asked, loaded).read(asked)
    base, source = (CORRUPTED, CLEAN) if direction == "denoise" else (CLEAN, CORRUPTED)
    target, foil = loaded.encoder.encoder["ĠLee"], loaded.encoder.encoder["ĠPoe"]
    for layer in range(LAYERS):
        for position in range(POSITIONS):
            logits = patched_logits(loaded, base, source, layer, position)
            expected = (logits[foil] - logits[target]).item()
            assert result.values[layer, position] == pytest.approx(expected, abs=1e-4)
    assert np.ptp(result.values) > 0.05
    assert result.unpatched == ("corrupted" if direction == "denoise" else "clean")


def test_noising_is_denoising_with_the_texts_swapped(loaded):
    noise = finished(experiment(direction="noise"), loaded)
    swapped = finished(experiment(clean=CORRUPTED, corrupted=CLEAN), loaded)
    torch.testing.assert_close(noise.states, swapped.states)


def test_every_metric_is_read_from_one_sweep(loaded, monkeypatch):
    study = finished(experiment(), loaded)
    monkeypatch.setattr(patching, "sweep", None)
    monkeypatch.setattr(patching, "record", None)
    for metric in METRICS:
        result = study.read(experiment(metric=metric, target=" Bob", foil=" Ray"))
        assert result.grids.keys() == METRICS.keys()
        assert result.values is result.grids[metric]
        assert result.values.shape == (LAYERS, POSITIONS)
        assert (result.target.text, result.foil.text) == (" Bob", " Ray")


def test_the_baselines_are_the_plain_runs(loaded, result):
    target, foil = result.target.id, result.foil.id
    clean, corrupted = plain_logits(loaded, CLEAN), plain_logits(loaded, CORRUPTED)
    for logits, side in ((clean, "clean"), (corrupted, "corrupted")):
        difference = (logits[foil] - logits[target]).item()
        probability = logits.softmax(-1)[target].item()
        assert getattr(result.baselines["logit_diff"], side) == pytest.approx(difference, abs=1e-4)
        assert getattr(result.baselines["target_prob"], side) == pytest.approx(
            probability, abs=1e-5
        )
    assert result.baselines["recovery"].clean == pytest.approx(1)
    assert result.baselines["recovery"].corrupted == pytest.approx(0)


def test_the_tables_are_the_twenty_likeliest_tokens(loaded, result):
    for side, text in (("clean", CLEAN), ("corrupted", CORRUPTED)):
        logits = plain_logits(loaded, text)
        best = logits.topk(20)
        table = result.top[side]
        assert [row.rank for row in table] == list(range(1, 21))
        assert [row.token.id for row in table] == best.indices.tolist()
        np.testing.assert_allclose([row.logit for row in table], best.values, atol=1e-4)
        probabilities = logits.softmax(-1)[best.indices]
        np.testing.assert_allclose([row.prob for row in table], probabilities, atol=1e-5)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_a_cells_story_says_what_its_patch_makes_likely_and_how_far_that_rose(loaded, direction):
    study = finished(experiment(direction=direction), loaded)
    base, source = (CORRUPTED, CLEAN) if direction == "denoise" else (CLEAN, CORRUPTED)
    patched = patched_logits(loaded, base, source, layer=1, position=1)
    clean, corrupted = plain_logits(loaded, CLEAN), plain_logits(loaded, CORRUPTED)
    story = study.story((1, 1))
    assert [line.now.token.id for line in story] == patched.topk(20).indices.tolist()

    def rank(logits: torch.Tensor, id: int) -> int:
        return 1 + (logits > logits[id]).sum().item()

    for place, line in enumerate(story, start=1):
        id = line.now.token.id
        assert line.now.rank == place
        assert (line.clean_rank, line.corrupted_rank) == (rank(clean, id), rank(corrupted, id))
        before = line.corrupted_rank if direction == "denoise" else line.clean_rank
        assert line.risen == before - place


def test_before_the_sweep_nothing_is_known_but_the_plain_runs(loaded):
    study = Study(experiment(), loaded)
    early = study.read(experiment())
    assert np.isnan(early.values[:, 1:]).all()
    assert np.isfinite(early.values[:, 0]).all()  # where the texts do not differ yet
    late = finished(experiment(), loaded).read(experiment())
    for metric, baseline in early.baselines.items():
        assert astuple(baseline) == pytest.approx(astuple(late.baselines[metric]), abs=1e-4)


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_the_plain_runs_are_computed_along_with_the_sweep(loaded, monkeypatch, direction):
    """In one pass, so that the weights are read once for all."""
    asked = experiment(direction=direction)
    expected = finished(asked, loaded).read(asked)
    monkeypatch.setattr(patching, "finish", None)
    result = finished(asked, loaded).read(asked)
    assert result.top == expected.top
    assert result.seconds["clean"] == result.seconds["corrupted"] == 0


def test_a_sweep_can_be_read_half_way(loaded, monkeypatch):
    monkeypatch.setattr(patching, "WORKING_MEMORY", 1)
    study = Study(experiment(), loaded)
    unknown = []
    for _ in study.steps():
        unknown.append(np.isnan(study.read(experiment()).values).sum())
    assert unknown[0] == LAYERS * POSITIONS
    assert (LAYERS - 1) * (POSITIONS - 1) in unknown  # once the plain runs are computed
    assert unknown == sorted(unknown, reverse=True)
    assert unknown[-1] == 0


def test_the_embedding_is_a_row_above_the_layers(loaded, result):
    asked = experiment(embedding=True)
    with_embedding = finished(asked, loaded).read(asked)
    assert result.rows == ("0", "1", "2")
    assert with_embedding.rows == ("embedding", "0", "1", "2")
    np.testing.assert_allclose(with_embedding.values[1:], result.values, atol=1e-5)


def test_bos_adds_a_position_where_both_texts_are_alike(loaded):
    asked = experiment(bos=True)
    result = finished(asked, loaded).read(asked)
    assert result.values.shape == (LAYERS, POSITIONS + 1)
    assert result.clean[0].text == "<|endoftext|>"
    baseline = result.baselines["logit_diff"].corrupted
    np.testing.assert_allclose(result.values[:, :2], baseline, atol=1e-5)


def test_a_metric_that_cannot_be_measured_is_left_out_unless_it_was_asked_for():
    model = loaded_model(seed=1)
    rows = model.gpt.lm_head.weight
    with torch.no_grad():  # all but the same unembedding: LD is about 0 everywhere
        rows[model.encoder.encoder["ĠPoe"]] = rows[model.encoder.encoder["ĠLee"]] + 1e-5
    asked = experiment(clean="Anna Bob met", corrupted="Anna Ray met")
    study = finished(asked, model)
    assert METRICS.keys() - study.read(asked).grids.keys() == {"recovery"}
    assert "recovery" not in study.read(asked).baselines
    with pytest.raises(UserError, match="Recovery divides by the difference"):
        study.read(experiment(clean=asked.clean, corrupted=asked.corrupted, metric="recovery"))


def test_texts_that_cannot_be_patched_are_refused_before_anything_runs(loaded, monkeypatch):
    monkeypatch.setattr(patching, "record", None)
    with pytest.raises(UserError, match="same number of tokens"):
        Study(experiment(corrupted="Anna"), loaded)


def test_target_and_foil_matter_to_reading_only(loaded):
    study = finished(experiment(target="", foil=""), loaded)
    with pytest.raises(UserError, match="The target is empty"):
        study.read(experiment(target=""))
    assert np.isfinite(study.read(experiment()).values).all()


def test_a_vocabulary_row_without_a_token_has_a_name():
    model = loaded_model(padding=4)
    unused = len(model.encoder.encoder)
    rows = model.gpt.lm_head.weight
    study = Study(experiment(), model)
    with torch.no_grad():
        rows[unused] = 100 * study.clean_state  # now the likeliest
    assert study.top(study.clean_state, count=1)[0].token.text == f"<unused {unused}>"


def test_the_seconds_of_every_part_are_kept(result):
    assert set(result.seconds) == {"load", "clean", "corrupted", "sweep"}
    assert all(seconds >= 0 for seconds in result.seconds.values())


def test_plain_runs_that_are_asked_for_before_the_sweep_have_seconds_of_their_own(loaded):
    study = Study(experiment(), loaded)
    seconds = study.read(experiment()).seconds
    assert seconds["clean"] == seconds["corrupted"] > 0
    assert seconds["sweep"] == 0
