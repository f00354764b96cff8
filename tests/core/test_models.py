"""Loading a model, and what one that cannot be used is told to be."""

import json
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core import catalogue, models
from core.catalogue import find, named
from core.engine import work
from core.errors import UserError
from core.models import fingerprint, load, load_tokenizer
from core.presets import PRESETS
from core.steps import finish
from mingpt.model import GPT
from tests.builders import finished, random_gpt, refused, tiny_encoder, write_tokenizer
from tests.stand_in_hub import REPO

pytestmark = pytest.mark.usefixtures("no_models_elsewhere")


def test_a_folder_that_was_removed_since_it_was_found_is_a_mistake(folder):
    entry = find(str(folder))
    shutil.rmtree(folder)
    assert f"{folder} is not a model folder" in str(refused(load, entry))
    assert f"{folder} holds no tokenizer" in str(refused(load_tokenizer, entry))
    assert models.version(entry) == ()


# --- Files that change --------------------------------------------------------------------------


def rewritten(path):
    """In place, and as long as before."""
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(0, 0))


def replaced(path):
    path.rename(path.with_name("before"))
    path.write_bytes(path.with_name("before").read_bytes())
    os.utime(path, ns=(0, path.with_name("before").stat().st_mtime_ns))


def shortened(path):
    time = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.truncate(5)
    os.utime(path, ns=(time, time))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.json", "merges.txt"])
@pytest.mark.parametrize("change", [rewritten, replaced, shortened])
def test_any_change_of_a_models_files_is_another_version(folder, name, change):
    entry = find(str(folder))
    before = models.version(entry)
    assert models.version(entry) == before
    assert models.version(named("gpt2")) == ()
    (folder / "training.log").write_text("no file of the model's")
    assert models.version(entry) == before
    change(folder / name)
    assert models.version(entry) != before


def test_files_that_change_while_they_are_read_are_no_model(folder, monkeypatch):
    def read_slowly(*arguments):
        gpt = GPT.from_pretrained(*arguments)
        rewritten(folder / "model.safetensors")
        return gpt

    monkeypatch.setattr(models, "GPT", SimpleNamespace(from_pretrained=read_slowly))
    text = f"The files in {folder} changed while they were read: try again."
    assert str(refused(load, find(str(folder)))) == text


def test_a_tokenizer_is_parsed_once_until_its_files_change(folder):
    entry = find(str(folder))
    encoder = load_tokenizer(entry)
    assert load_tokenizer(entry) is encoder
    assert load(entry).encoder is encoder
    write_tokenizer(tiny_encoder(words=()), folder)
    assert len(load_tokenizer(entry).encoder) < len(encoder.encoder)


# --- Loading ------------------------------------------------------------------------------------


def test_a_loaded_model_says_what_it_is_and_cannot_learn_or_drop_out(folder):
    loaded = load(find(str(folder)), device="cpu")
    assert (loaded.card.name, loaded.card.layers) == (str(folder), 3)
    assert loaded.card.parameters == sum(
        tensor.numel() for tensor in load_file(folder / "model.safetensors").values()
    )
    assert loaded.encoder.encoder == tiny_encoder().encoder
    assert loaded.seconds > 0
    assert not loaded.gpt.training
    assert not any(parameter.requires_grad for parameter in loaded.gpt.parameters())


def test_a_folder_without_weights_says_so(folder):
    (folder / "model.safetensors").unlink()
    problem = refused(load, find(str(folder)))
    assert "holds no weights" in str(problem)
    assert problem.field == "model"


def test_a_token_id_that_the_model_has_no_row_for_is_refused(folder):
    vocabulary = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"ĠLee": 99_999}))
    text = "ids for 100,000 tokens and the model only 276: they do not belong together."
    assert text in str(refused(load, find(str(folder))))


def test_a_model_that_finds_no_room_is_refused_with_the_numbers_before_it_is_built(
    folder, monkeypatch
):
    config = json.loads((folder / "config.json").read_text()) | {"n_embd": 80_000}
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(work, "available_memory", lambda: 20 * 10**9)
    monkeypatch.setattr(models, "GPT", None)
    assert str(refused(load, find(str(folder)), dtype="bfloat16")) == (
        f"The model in {folder} has 230,427,280,000 parameters, which take 460.9 GB of memory, and"
        " 20.0 GB are free: choose a smaller one, or half precision."
    )


@pytest.mark.parametrize("device", ["nonsense", "", "vulkan", "hpu", "meta"])
def test_a_device_that_is_not_there_is_refused(folder, device):
    problem = refused(load, find(str(folder)), device=device)
    assert str(problem).startswith(f"The device {device!r} cannot be used: ")
    assert problem.field == "device"


# --- The fingerprint ----------------------------------------------------------------------------


def test_scaling_any_one_weight_tensor_changes_the_fingerprint():
    gpt = random_gpt(2, 2, 8)
    seen = {fingerprint(gpt)}
    for name, parameter in gpt.named_parameters():
        with torch.no_grad():
            parameter.mul_(1.01)
        assert fingerprint(gpt) not in seen, name
        seen.add(fingerprint(gpt))


def test_the_same_weights_have_the_same_fingerprint_wherever_they_lie(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    prints = {load(find(str(path))).card.fingerprint for path in (folder, folder, copy)}
    assert len(prints) == 1
    assert len(prints.pop()) == 12


def test_weights_of_another_shape_have_another_fingerprint():
    """Even where every value that is looked at is the same."""
    prints = set()
    for vocab_size in (16, 32):
        gpt = random_gpt(vocab_size=vocab_size)
        gpt.load_state_dict({name: torch.zeros_like(t) for name, t in gpt.state_dict().items()})
        prints.add(fingerprint(gpt))
    assert len(prints) == 2


# --- Half precision -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("site", ["resid_post", "attn_out", "head_z", "head_pattern"])
def test_half_precision_takes_half_the_memory_and_says_nearly_the_same(dtype, site):
    asked = replace(PRESETS[0].experiment("teaching"), site=site, embedding=False)
    full, half = (models.load(catalogue.TEACHING, dtype=name) for name in ("float32", dtype))
    assert half.card.dtype == dtype
    sizes = [sum(p.nbytes for p in model.gpt.parameters()) for model in (full, half)]
    assert sizes[1] * 2 == sizes[0]
    exact, near = (finished(asked, model).read(asked) for model in (full, half))
    for metric, grid in exact.grids.items():
        scale = max(np.abs(grid).max(), 1.0)
        np.testing.assert_allclose(near.grids[metric], grid, atol=0.03 * scale)


def test_everything_that_reads_a_run_reads_one_in_half_precision():
    model = models.load(catalogue.TEACHING, dtype="bfloat16")
    asked = PRESETS[0].experiment("teaching")
    study = finished(asked, model)
    plain, target = study.plain, study.read(asked).target.id
    assert plain.attention("clean", 0, 1).dtype == np.float32
    assert study.head_preview(asked).shape == (8, 4)
    assert plain.attribution("clean", target, 6).heads.dtype == torch.float32
    lens, trace = finish(plain.logit_lenses((5, 6)))["clean"], finish(study.trace((1, 2), asked))
    assert lens.logits.dtype == trace.readers.dtype == torch.float32
    assert len(study.patched_next_tokens((1, 2))) == 20


def test_the_dtype_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("PATCHBOARD_DTYPE", "bfloat16")
    assert models.load(catalogue.TEACHING).card.dtype == "bfloat16"
    assert models.load(catalogue.TEACHING, dtype="float32").card.dtype == "float32"
    monkeypatch.setenv("PATCHBOARD_DTYPE", "int8")
    with pytest.raises(UserError, match="There is no dtype 'int8': choose float32, bfloat16"):
        models.load(catalogue.TEACHING)


# --- Repositories of the hub --------------------------------------------------------------------


def test_a_repository_is_loaded_by_its_name_and_says_which_commit_it_is(stand_in, folder):
    loaded = load(find(REPO))
    assert loaded.card.fingerprint == load(find(str(folder))).card.fingerprint
    assert loaded.card.name == REPO
    assert loaded.card.source == f"the hub's repository {REPO}, revision main"
    assert loaded.card.revision == stand_in.commit(REPO, "main")
    commit = loaded.card.revision[:7]
    about = f"A repository of the hub, at commit {commit}: 3 layers of width 8."
    assert [(entry.name, entry.about, entry.state) for entry in catalogue.repositories()] == [
        (REPO, about, "ready")
    ]
    assert about in catalogue.table()
