"""The catalogue of models, and what a model that cannot be used is told to be."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core import models
from core.catalogue import _memory
from core.errors import UserError
from core.models import catalogue, find, fingerprint, load, load_tokenizer, named
from core.presets import PRESETS
from core.steps import finish
from core.teaching import history
from mingpt.checkpoint import read_config
from mingpt.model import GPT
from tests.builders import finished, random_gpt, tiny_encoder, write_model_folder, write_tokenizer
from tests.stand_in_hub import StandInHub

RELEASED = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2"]


@pytest.fixture(autouse=True)
def no_models_elsewhere(monkeypatch, tmp_path):
    """A machine on which nothing has been downloaded."""
    monkeypatch.delenv(models.FOLDERS_VARIABLE, raising=False)
    for name in ("PATCHBOARD_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))


@pytest.fixture
def folder(tmp_path):
    """A model folder that a test may damage."""
    return write_model_folder(tmp_path / "mine")


def refused(action, *arguments, **options) -> UserError:
    with pytest.raises(UserError) as refusal:
        action(*arguments, **options)
    return refusal.value


# --- The catalogue ------------------------------------------------------------------------------


def test_the_teaching_model_comes_first_and_is_here_and_the_released_ones_are_not_yet():
    assert list(catalogue()) == ["teaching", *RELEASED]
    for name, entry in catalogue().items():
        assert entry.name == name
        assert entry.title and entry.about.endswith(".")
        assert bool(entry.location) == (name == "teaching")
    problem = refused(load_tokenizer, named("gpt2"))
    assert str(problem) == "GPT-2 small is not on this machine yet."


def test_an_unknown_model_is_refused_with_the_known_ones():
    for look_up, name in ((named, "Teaching"), (find, ""), (find, "gpt3")):
        problem = refused(look_up, name)
        assert str(problem) == (
            f"There is no model {name!r}: choose teaching, gpt2, gpt2-medium, gpt2-large, gpt2-xl,"
            " distilgpt2, or, on the command line, a repository of the hub, owner/name or"
            " owner/name@revision, or the path of a folder with config.json, model.safetensors"
            " and its tokenizer's files."
        )
        assert problem.field == "model"


def test_local_models_are_those_of_the_directory_the_environment_names(
    folder, tmp_path, monkeypatch
):
    (tmp_path / "no model").mkdir()
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(models.FOLDERS_VARIABLE, str(tmp_path))
    assert list(catalogue())[6:] == ["local/mine"]
    assert named("local/mine").location == folder
    assert named("local/mine").about == "A local folder: 3 layers of width 8."


def test_a_damaged_local_model_is_listed_and_says_what_is_wrong(folder, tmp_path, monkeypatch):
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv(models.FOLDERS_VARIABLE, str(tmp_path))
    assert "is no GPT-2 configuration" in named("local/mine").about
    monkeypatch.setenv(models.FOLDERS_VARIABLE, str(tmp_path / "nowhere"))
    assert list(catalogue()) == ["teaching", *RELEASED]


def test_folders_that_cannot_be_offered_are_left_out_with_a_line_in_the_log(
    folder, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv(models.FOLDERS_VARIABLE, str(tmp_path))
    os.rename(folder, os.fsencode(tmp_path) + b"/\xff")
    for _ in range(3):
        assert list(catalogue()) == ["teaching", *RELEASED]
    (tmp_path / "round").symlink_to("round")
    monkeypatch.setenv(models.FOLDERS_VARIABLE, str(tmp_path / "round"))
    assert list(catalogue()) == ["teaching", *RELEASED]
    monkeypatch.setenv(models.FOLDERS_VARIABLE, "~nobody-of-this-name")
    assert list(catalogue()) == ["teaching", *RELEASED]
    said = [record.message for record in caplog.records]
    assert said == [
        f"PATCHBOARD_MODELS: '{tmp_path}/\\udcff' is left out: rename it.",
        f"PATCHBOARD_MODELS: {tmp_path}/round cannot be listed: Too many levels of symbolic links.",
        "PATCHBOARD_MODELS: ~nobody-of-this-name cannot be listed: No such file or directory.",
    ]


def test_a_folder_that_one_may_not_look_into_is_listed_with_that(folder, tmp_path, monkeypatch):
    """Root may look into every folder, so the system is made to refuse."""
    shutil.copytree(folder, tmp_path / "sound")
    monkeypatch.setenv(models.FOLDERS_VARIABLE, str(tmp_path))
    lstat = Path.lstat

    def refuse(path):
        if path.parent == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", refuse)
    entries = catalogue()
    assert entries["local/mine"].about == f"{folder} cannot be read: Permission denied."
    assert entries["local/sound"].about == "A local folder: 3 layers of width 8."


def test_a_path_is_a_model_on_the_command_line_alone(folder):
    assert find(str(folder)).location == folder
    assert "There is no model" in str(refused(named, str(folder)))


def test_a_folder_cannot_take_the_name_of_a_released_model(tmp_path, monkeypatch):
    (tmp_path / "gpt2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find("gpt2") == named("gpt2")


@pytest.mark.parametrize("name", ["./gpt2", "gpt2/", "local/gpt2"])
def test_a_folder_called_like_a_released_model_is_loaded_from_there(tmp_path, monkeypatch, name):
    write_model_folder(tmp_path / "gpt2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(models.FOLDERS_VARIABLE, ".")
    loaded = load(find(name))
    assert (loaded.card.name, loaded.card.layers) == (name, 3)


def test_a_folder_that_was_removed_since_it_was_found_is_a_mistake(folder):
    entry = find(str(folder))
    shutil.rmtree(folder)
    assert f"{folder} is not a model folder" in str(refused(load, entry))
    assert f"{folder} holds no tokenizer" in str(refused(load_tokenizer, entry))
    assert models.version(entry) == ()


def test_a_folder_that_is_removed_while_models_are_listed_is_none_or_says_so(
    folder, tmp_path, monkeypatch
):
    def remove_first(path):
        shutil.rmtree(folder, ignore_errors=True)
        return read_config(path)

    monkeypatch.setenv(models.FOLDERS_VARIABLE, str(tmp_path))
    monkeypatch.setattr("core.catalogue.read_config", remove_first)
    assert "it has no config.json" in catalogue()["local/mine"].about
    assert "local/mine" not in catalogue()


def test_a_machine_without_a_home_has_the_teaching_model(monkeypatch):
    for name in ("PATCHBOARD_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what pathlib asks, in vain
    assert [entry.state for entry in catalogue().values()] == ["ready", *["absent"] * 5]
    assert models.preferred() == models.TEACHING
    text = "set PATCHBOARD_CACHE to a folder for downloaded models. The teaching model needs no"
    assert text in str(refused(load, named("gpt2")))


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


def test_a_download_never_lacks_less_than_nothing(monkeypatch):
    """How large a file is, is known about only."""
    monkeypatch.setattr(models.hub, "state", lambda name: models.hub.State("partial", 10**12))
    assert named("gpt2-xl").missing_bytes == 0


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
    monkeypatch.setattr(models.work, "available_memory", lambda: 20 * 10**9)
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


# --- Half precision ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("site", ["resid_post", "attn_out", "head_z", "head_pattern"])
def test_half_precision_takes_half_the_memory_and_says_nearly_the_same(dtype, site):
    asked = replace(PRESETS[0].experiment("teaching"), site=site, embedding=False)
    full, half = (models.load(models.TEACHING, dtype=name) for name in ("float32", dtype))
    assert half.card.dtype == dtype
    sizes = [sum(p.nbytes for p in model.gpt.parameters()) for model in (full, half)]
    assert sizes[1] * 2 == sizes[0]
    exact, near = (finished(asked, model).read(asked) for model in (full, half))
    for metric, grid in exact.grids.items():
        scale = max(np.abs(grid).max(), 1.0)
        np.testing.assert_allclose(near.grids[metric], grid, atol=0.03 * scale)


def test_everything_that_reads_a_run_reads_one_in_half_precision():
    model = models.load(models.TEACHING, dtype="bfloat16")
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
    assert models.load(models.TEACHING).card.dtype == "bfloat16"
    assert models.load(models.TEACHING, dtype="float32").card.dtype == "float32"
    monkeypatch.setenv("PATCHBOARD_DTYPE", "int8")
    with pytest.raises(UserError, match="There is no dtype 'int8': choose float32, bfloat16"):
        models.load(models.TEACHING)


# --- Repositories of the hub ---------------------------------------------------------------------

REPO = "some-one/Tiny.GPT"


@pytest.fixture
def stand_in(folder, monkeypatch):
    """A hub with a repository of two revisions, one of them no GPT-2."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with StandInHub({}) as stand_in:
        bert = files | {"config.json": b'{"model_type": "bert", "hidden_size": 8}'}
        stand_in.branches[REPO] = {"main": files, "bert": bert}
        monkeypatch.setenv("HF_ENDPOINT", stand_in.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield stand_in


def test_a_repository_is_loaded_by_its_name_and_says_which_commit_it_is(stand_in, folder):
    loaded = load(find(REPO))
    assert loaded.card.fingerprint == load(find(str(folder))).card.fingerprint
    assert loaded.card.name == REPO
    assert loaded.card.source == f"the hub's repository {REPO}, revision main"
    assert loaded.card.revision == stand_in.commit(REPO, "main")
    commit = loaded.card.revision[:7]
    about = f"A repository of the hub, at commit {commit}: 3 layers of width 8."
    assert [(entry.name, entry.about, entry.state) for entry in models.repositories()] == [
        (REPO, about, "ready")
    ]
    assert about in models.table()


def test_what_is_no_gpt2_is_refused_from_its_configuration_alone(stand_in):
    text = str(refused(load, find(f"{REPO}@bert")))
    assert text.startswith(f"{REPO}@bert cannot be loaded: ")
    assert "config.json" in text and text.endswith("Its weights were not downloaded.")
    assert {request.file for request in stand_in.requests} == {"api/revision/bert", "config.json"}
    assert str(refused(models.ask, find(f"{REPO}@bert"))) == text
    assert len(stand_in.requests) == 2


def test_what_a_download_takes_is_known_once_the_hub_was_asked(stand_in, monkeypatch, folder):
    monkeypatch.setattr(models.hub, "free_space", lambda folder: 20_000_000_000)
    entry = find(REPO)
    assert (entry.missing_bytes, entry.memory) == (0, 0)
    assert models.delivery(entry).files == ()
    entry = models.ask(entry)
    commit = stand_in.commit(REPO, "main")
    size = sum(len(content) for content in stand_in.branches[REPO]["main"].values())
    config = len(stand_in.branches[REPO]["main"]["config.json"])
    assert entry.missing_bytes == size - config
    assert entry.memory == 500_000_000 + 4 * load(find(str(folder))).card.parameters
    assert models.announced(entry) == (
        f"{REPO}, commit {commit}, is not on this machine: downloading 0 MB to"
        f" {models.hub.cache_folder() / 'some-one--Tiny.GPT' / commit} (20.0 GB free)."
        " It takes 1 GB of memory."
    )


def test_the_memory_of_the_released_sizes_is_that_of_any_model_of_their_sizes():
    for name, sizes in (("gpt2", (12, 768)), ("gpt2-medium", (24, 1024)), ("gpt2-xl", (48, 1600))):
        n_layer, n_embd = sizes
        memory = _memory(
            {"n_layer": n_layer, "n_embd": n_embd, "vocab_size": 50_257, "block_size": 1024}
        )
        assert round(memory / 1e9) == named(name).memory / 1e9


def test_revisions_are_models(stand_in):
    found = models.revisions(find(REPO))
    assert found == {
        f"{REPO}@bert": stand_in.commit(REPO, "bert"),
        REPO: stand_in.commit(REPO, "main"),
    }


def test_the_app_has_repositories_only_where_who_starts_it_says_so(monkeypatch):
    monkeypatch.delenv(models.HUB_VARIABLE, raising=False)
    assert str(refused(named, "a/b")) == (
        "'a/b' would be a repository of the hub, and this server does not offer those: who starts"
        " it can, with PATCHBOARD_HUB=1."
    )
    assert find("a/b").name == "a/b"
    monkeypatch.setenv(models.HUB_VARIABLE, "1")
    assert named("a/b@v1").name == "a/b@v1"
    assert "give a branch, a tag or a commit" in str(refused(named, "a/b@.."))
    assert "is no name of a repository" in str(refused(named, "a b/c"))
    for name in ("local/gone", "a/b/c", "/", "../a", "<script>", "a@b/c"):
        assert "There is no model" in str(refused(named, name))
    assert str(refused(named, "gpt2@v1")) == (
        "GPT-2 small is one commit here. Another revision of its repository is called"
        " openai-community/gpt2@v1."
    )


def test_a_folder_called_like_a_repository_is_the_folder(tmp_path, monkeypatch):
    write_model_folder(tmp_path / "a" / "b")
    monkeypatch.chdir(tmp_path)
    assert find("a/b").location.samefile(tmp_path / "a" / "b")


def test_a_checkpoint_is_a_model_of_its_own_and_the_last_one_is_the_model():
    there = models.checkpoints(models.TEACHING)
    last = max(there, key=lambda checkpoint: (checkpoint.step, -checkpoint.seed))
    assert named(f"teaching@{last.name}") == models.TEACHING
    entry = named("teaching@seed1-step0")
    assert (entry.title, entry.base) == ("Teaching model, seed 1, step 0", "teaching")
    assert models.checkpoints(entry) == there
    cards = [load(named(models.at_checkpoint("teaching", 0, seed))).card for seed in (0, 1)]
    cards.append(load(models.TEACHING).card)
    assert [card.name for card in cards] == [
        "teaching@seed0-step0",
        "teaching@seed1-step0",
        "teaching",
    ]
    assert len({card.fingerprint for card in cards}) == 3


def test_what_of_a_checkpoint_is_left_out_is_as_it_is_in_the_model_or_the_checkpoint():
    end = history.end(models.checkpoints(models.TEACHING))
    assert models.at_checkpoint("teaching") == "teaching"
    assert models.at_checkpoint("teaching", seed=1) == f"teaching@seed1-step{end.step}"
    assert models.at_checkpoint("teaching@seed1-step0", step=end.step, seed=0) == "teaching"
    assert models.at_checkpoint("teaching@seed1-step0") == "teaching@seed1-step0"


@pytest.mark.parametrize(
    ("name", "step", "seed", "text"),
    [
        ("teaching", 1, None, "has no checkpoint of seed 0 after step 1: choose the seed 0 or 1 a"),
        ("teaching", 0, 2, "has no checkpoint of seed 2 after step 0: choose the seed 0 or 1 and"),
        ("gpt2", 0, None, "GPT-2 small has no checkpoints; only the teaching model has."),
        ("nowhere", 0, None, "There is no model 'nowhere'"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(name, step, seed, text):
    assert text in str(refused(models.at_checkpoint, name, step, seed))


@pytest.mark.parametrize("moment", ["", "main", "seed0", "seed0-step1x", "seed-1-step0"])
def test_a_name_that_is_no_checkpoint_is_refused(moment):
    assert "teaching@" in str(refused(named, f"teaching@{moment}"))
