"""Which models there are, and what is known of each before it is loaded."""

import os
import shutil
from pathlib import Path

import pytest

from core import catalogue
from core.catalogue import find, named
from core.models import load, load_tokenizer
from core.teaching import history
from mingpt import hub
from mingpt.checkpoint import read_config
from tests.builders import refused, write_model_folder
from tests.stand_in_hub import REPO

pytestmark = pytest.mark.usefixtures("no_models_elsewhere")

RELEASED = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2"]


def test_the_teaching_model_comes_first_and_is_here_and_the_released_ones_are_not_yet():
    assert list(catalogue.catalogue()) == ["teaching", *RELEASED]
    for name, entry in catalogue.catalogue().items():
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
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path))
    assert list(catalogue.catalogue())[6:] == ["local/mine"]
    assert named("local/mine").location == folder
    assert named("local/mine").about == "A local folder: 3 layers of width 8."


def test_a_damaged_local_model_is_listed_and_says_what_is_wrong(folder, tmp_path, monkeypatch):
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path))
    assert "is no GPT-2 configuration" in named("local/mine").about
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path / "nowhere"))
    assert list(catalogue.catalogue()) == ["teaching", *RELEASED]


def test_folders_that_cannot_be_offered_are_left_out_with_a_line_in_the_log(
    folder, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path))
    os.rename(folder, os.fsencode(tmp_path) + b"/\xff")
    for _ in range(3):
        assert list(catalogue.catalogue()) == ["teaching", *RELEASED]
    (tmp_path / "round").symlink_to("round")
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path / "round"))
    assert list(catalogue.catalogue()) == ["teaching", *RELEASED]
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, "~nobody-of-this-name")
    assert list(catalogue.catalogue()) == ["teaching", *RELEASED]
    said = [record.message for record in caplog.records]
    assert said == [
        f"PATCHBOARD_MODELS: '{tmp_path}/\\udcff' is left out: rename it.",
        f"PATCHBOARD_MODELS: {tmp_path}/round cannot be listed: Too many levels of symbolic links.",
        "PATCHBOARD_MODELS: ~nobody-of-this-name cannot be listed: No such file or directory.",
    ]


def test_a_folder_that_one_may_not_look_into_is_listed_with_that(folder, tmp_path, monkeypatch):
    """Root may look into every folder, so the system is made to refuse."""
    shutil.copytree(folder, tmp_path / "sound")
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path))
    lstat = Path.lstat

    def refuse(path):
        if path.parent == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", refuse)
    entries = catalogue.catalogue()
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
    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, ".")
    loaded = load(find(name))
    assert (loaded.card.name, loaded.card.layers) == (name, 3)


def test_a_folder_that_is_removed_while_models_are_listed_is_none_or_says_so(
    folder, tmp_path, monkeypatch
):
    def remove_first(path):
        shutil.rmtree(folder, ignore_errors=True)
        return read_config(path)

    monkeypatch.setenv(catalogue.FOLDERS_VARIABLE, str(tmp_path))
    monkeypatch.setattr("core.catalogue.read_config", remove_first)
    assert "it has no config.json" in catalogue.catalogue()["local/mine"].about
    assert "local/mine" not in catalogue.catalogue()


def test_a_machine_without_a_home_has_the_teaching_model(monkeypatch):
    for name in ("PATCHBOARD_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what pathlib asks, in vain
    assert [entry.state for entry in catalogue.catalogue().values()] == ["ready", *["absent"] * 5]
    assert catalogue.preferred() == catalogue.TEACHING
    text = "set PATCHBOARD_CACHE to a folder for downloaded models. The teaching model needs no"
    assert text in str(refused(load, named("gpt2")))


def test_a_download_never_lacks_less_than_nothing(monkeypatch):
    """How large a file is, is known about only."""
    monkeypatch.setattr(hub, "state", lambda name: hub.State("partial", 10**12))
    assert named("gpt2-xl").missing_bytes == 0


def test_the_memory_of_the_released_sizes_is_that_of_any_model_of_their_sizes():
    for name, sizes in (("gpt2", (12, 768)), ("gpt2-medium", (24, 1024)), ("gpt2-xl", (48, 1600))):
        n_layer, n_embd = sizes
        memory = catalogue._memory(
            {"n_layer": n_layer, "n_embd": n_embd, "vocab_size": 50_257, "block_size": 1024}
        )
        assert round(memory / 1e9) == named(name).memory / 1e9


def test_revisions_are_models(stand_in):
    found = catalogue.revisions(find(REPO))
    assert found == {
        f"{REPO}@bert": stand_in.commit(REPO, "bert"),
        REPO: stand_in.commit(REPO, "main"),
    }


def test_the_app_has_repositories_only_where_who_starts_it_says_so(monkeypatch):
    monkeypatch.delenv(catalogue.HUB_VARIABLE, raising=False)
    assert str(refused(named, "a/b")) == (
        "'a/b' would be a repository of the hub, and this server does not offer those: who starts"
        " it can, with PATCHBOARD_HUB=1."
    )
    assert find("a/b").name == "a/b"
    monkeypatch.setenv(catalogue.HUB_VARIABLE, "1")
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
    there = catalogue.checkpoints(catalogue.TEACHING)
    last = max(there, key=lambda checkpoint: (checkpoint.step, -checkpoint.seed))
    assert named(f"teaching@{last.name}") == catalogue.TEACHING
    entry = named("teaching@seed1-step0")
    assert (entry.title, entry.base) == ("Teaching model, seed 1, step 0", "teaching")
    assert catalogue.checkpoints(entry) == there
    cards = [load(named(catalogue.at_checkpoint("teaching", 0, seed))).card for seed in (0, 1)]
    cards.append(load(catalogue.TEACHING).card)
    assert [card.name for card in cards] == [
        "teaching@seed0-step0",
        "teaching@seed1-step0",
        "teaching",
    ]
    assert len({card.fingerprint for card in cards}) == 3


def test_what_of_a_checkpoint_is_left_out_is_as_it_is_in_the_model_or_the_checkpoint():
    end = history.end(catalogue.checkpoints(catalogue.TEACHING))
    assert catalogue.at_checkpoint("teaching") == "teaching"
    assert catalogue.at_checkpoint("teaching", seed=1) == f"teaching@seed1-step{end.step}"
    assert catalogue.at_checkpoint("teaching@seed1-step0", step=end.step, seed=0) == "teaching"
    assert catalogue.at_checkpoint("teaching@seed1-step0") == "teaching@seed1-step0"


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
    assert text in str(refused(catalogue.at_checkpoint, name, step, seed))


@pytest.mark.parametrize("moment", ["", "main", "seed0", "seed0-step1x", "seed-1-step0"])
def test_a_name_that_is_no_checkpoint_is_refused(moment):
    assert "teaching@" in str(refused(named, f"teaching@{moment}"))
