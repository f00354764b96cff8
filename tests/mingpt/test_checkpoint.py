"""Hugging Face's GPT-2 files: ours and theirs are one model, and what does not fit is named."""

import json
import os
import pickle
import re
from datetime import datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mingpt import hub
from mingpt.checkpoint import CheckpointError
from mingpt.model import GPT, MODEL_TYPES
from tests.builders import random_gpt, shake

transformers = pytest.importorskip("transformers")

WEIGHTS = "model.safetensors"
RELEASED = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]


def hugging_face(n_layer=2, n_head=2, n_embd=8, *, n_positions=16, seed=0):
    """Their model with random weights, in evaluation mode."""
    config = transformers.GPT2Config(
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        n_positions=n_positions,
        vocab_size=31,
        bos_token_id=30,
        eos_token_id=30,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    shake(model, seed)
    return model


@pytest.fixture
def theirs():
    return hugging_face()


@pytest.fixture
def folder(theirs, tmp_path) -> Path:
    """Their model as their `save_pretrained` writes it."""
    theirs.save_pretrained(tmp_path)
    return tmp_path


def prompts(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(31, (1, length), generator=generator) for length in lengths]


@torch.no_grad()
def assert_same_model(ours: GPT, theirs, *lengths: int) -> None:
    for ids in prompts(*(lengths or (1, 7, ours.block_size))):
        expected = theirs(ids).logits
        assert expected.std() > 0.5  # the tolerance is small beside what there is to get wrong
        torch.testing.assert_close(ours(ids)[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", RELEASED)
def test_the_four_released_shapes_compute_what_hugging_face_computes(name, tmp_path):
    """With their true numbers of layers and heads, and narrow heads."""
    n_layer, n_head = MODEL_TYPES[name]["n_layer"], MODEL_TYPES[name]["n_head"]
    n_positions = 1024 if name == "gpt2" else 32
    theirs = hugging_face(n_layer, n_head, 4 * n_head, n_positions=n_positions)
    theirs.save_pretrained(tmp_path)
    ours = GPT.from_pretrained(tmp_path)
    assert ours.block_size == n_positions
    assert_same_model(ours, theirs, 1, 2, 19, n_positions)


def test_a_loaded_model_is_ready_to_use(folder):
    model = GPT.from_pretrained(str(folder))
    assert not model.training
    assert model.lm_head.weight is model.transformer.wte.weight
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_weights_may_lie_in_shards(theirs, tmp_path):
    theirs.save_pretrained(tmp_path, max_shard_size="2KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_same_model(GPT.from_pretrained(tmp_path), theirs)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy, as gpt2's own of 2019"])
def test_weights_may_be_pickled(folder, theirs, zipped):
    (folder / WEIGHTS).unlink()
    path = folder / "pytorch_model.bin"
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=zipped)
    assert_same_model(GPT.from_pretrained(folder), theirs)


def rewrite(folder: Path, change) -> None:
    """Apply `change` to the dictionary of the tensors in a folder's weights."""
    tensors = change(load_file(folder / WEIGHTS))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def without_prefix(tensors):
    return {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}


def with_mask_buffers(tensors):
    mask = torch.ones(1, 1, 16, 16).tril()
    for layer in range(2):
        tensors[f"transformer.h.{layer}.attn.bias"] = mask.clone()
        tensors[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return tensors


def with_unembedding(tensors):
    return tensors | {"lm_head.weight": tensors["transformer.wte.weight"].clone()}


def without_unembedding(tensors):
    tensors.pop("lm_head.weight", None)
    return tensors


VARIANTS = [without_prefix, with_mask_buffers, with_unembedding, without_unembedding]


@pytest.mark.parametrize("change", VARIANTS, ids=lambda change: change.__name__)
def test_the_files_that_are_about_differ_in_ways_that_do_not_matter(folder, theirs, change):
    rewrite(folder, change)
    assert_same_model(GPT.from_pretrained(folder), theirs)


def test_old_files_differ_in_all_these_ways_at_once(folder, theirs):
    rewrite(folder, lambda tensors: without_prefix(with_mask_buffers(tensors)))
    assert_same_model(GPT.from_pretrained(folder), theirs)


def test_half_precision_files_become_full_precision_models(folder, theirs):
    theirs.half().save_pretrained(folder)
    ours = GPT.from_pretrained(folder)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    assert_same_model(ours, theirs.float())


def test_a_model_can_be_loaded_in_half_precision(folder):
    ours = GPT.from_pretrained(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.bfloat16}


def test_hugging_face_reads_what_we_save(tmp_path):
    ours = random_gpt(2, 2, 8, vocab_size=31)
    ours.save_pretrained(tmp_path)
    assert_same_model(ours, transformers.GPT2LMHeadModel.from_pretrained(tmp_path).eval())
    again = GPT.from_pretrained(tmp_path).state_dict()
    for name, tensor in ours.state_dict().items():
        assert torch.equal(again[name], tensor), name


@pytest.fixture(params=["safetensors", "shards", "a pickle", "a legacy pickle"])
def in_any_layout(request, theirs, tmp_path) -> Path:
    """A folder with the model's weights in one of the layouts that there are."""
    if request.param == "safetensors":
        theirs.save_pretrained(tmp_path)
    elif request.param == "shards":
        theirs.save_pretrained(tmp_path, max_shard_size="2KB")
    else:
        theirs.config.save_pretrained(tmp_path)
        zipped = request.param == "a pickle"
        path = tmp_path / "pytorch_model.bin"
        torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=zipped)
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loaded_model_stays_what_it_was_whatever_becomes_of_its_files(in_any_layout, dtype):
    model = GPT.from_pretrained(in_any_layout, dtype)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for path in in_any_layout.iterdir():
        with path.open("r+b") as file:  # in place, as a careless copy over it does
            file.write(bytes(path.stat().st_size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    if (maps := Path("/proc/self/maps")).exists():  # a mapped file that is cut short is fatal
        assert str(in_any_layout) not in maps.read_text()


def test_weights_lie_in_memory_as_in_the_file_the_input_first(in_any_layout):
    """Products with them are faster so."""
    for name, parameter in GPT.from_pretrained(in_any_layout).named_parameters():
        transposed = ".h." in name and parameter.dim() == 2
        assert (parameter.t() if transposed else parameter).is_contiguous(), name


@pytest.mark.parametrize("given", [Path("gpt2"), "./gpt2", Path("gpt2").absolute, "gpt2/"])
def test_a_folder_called_like_a_released_model_is_a_folder(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "fetch", None)
    model = random_gpt(1, 2, 8)
    model.save_pretrained("gpt2")
    loaded = GPT.from_pretrained(given() if callable(given) else given)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


# --- What does not fit --------------------------------------------------------------------------


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as refusal:
        GPT.from_pretrained(folder)
    return str(refusal.value)


def test_a_folder_without_a_configuration_is_no_model(tmp_path):
    assert re.search(
        "is not a model folder: it has no config.json. Name a folder that holds config.json,"
        " model.safetensors, vocab.json and merges.txt",
        refused(tmp_path),
    )
    assert "is not a model folder" in refused(tmp_path / "that is not there")


def test_a_folder_without_weights_says_which_there_might_be(folder):
    (folder / WEIGHTS).unlink()
    text = "holds no weights: it has none of model.safetensors, model.safetensors.index.json and"
    assert text in refused(folder)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_weights_are_damaged(folder, share):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: int(share * len(content))])
    text = refused(folder)
    assert text.startswith(
        f"{folder / WEIGHTS} is damaged or incomplete: copy or download it again."
    )


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99])
def test_truncated_pickled_weights_are_damaged(folder, theirs, share, zipped):
    path = folder / "pytorch_model.bin"
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    (folder / WEIGHTS).unlink()
    assert f"{path} is damaged or incomplete" in refused(folder)


def test_pickled_weights_with_a_broken_middle_are_damaged(folder, theirs):
    path = folder / "pytorch_model.bin"
    torch.save({"wte.weight": Path("no weights")}, path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"no weights", b"no w\0ights"))
    (folder / WEIGHTS).unlink()
    assert f"{path} is damaged or incomplete" in refused(folder)


@pytest.mark.parametrize("content", [b"<html>", b"version https://git-lfs", b"\x80\x02\xff", b"."])
def test_what_is_neither_a_pickle_nor_an_archive_is_damaged(folder, theirs, content):
    path = folder / "pytorch_model.bin"
    path.write_bytes(content)
    (folder / WEIGHTS).unlink()
    assert f"{path} is damaged or incomplete" in refused(folder)


def test_a_legacy_pickle_with_a_broken_middle_is_damaged(folder, theirs):
    path = folder / "pytorch_model.bin"
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"ctorch", b"\xfftorch"))  # no instruction
    (folder / WEIGHTS).unlink()
    assert f"{path} is damaged or incomplete" in refused(folder)


def with_torch(content, path: Path) -> None:
    torch.save(content, path)


def with_torch_of_2019(content, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def with_pickle(content, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [with_torch, with_torch_of_2019, with_pickle])
@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(3)],
        {"model": {"wte.weight": torch.zeros(3)}, "optimizer": {"step": 7}},
        {1: torch.zeros(3)},
        {"wte.weight": torch.zeros(3), "made": datetime(2026, 1, 1)},
    ],
    ids=["a list", "a checkpoint with an optimizer", "names that are none", "other objects"],
)
def test_a_pickle_of_something_else_is_whole_and_no_weights(folder, content, save):
    (folder / WEIGHTS).unlink()
    save(content, folder / "pytorch_model.bin")
    assert refused(folder) == (
        f"{folder / 'pytorch_model.bin'} holds something else than named weights: save the model's"
        " state_dict alone."
    )


def test_a_pickle_is_never_executed(folder):
    path, sprung = folder / "pytorch_model.bin", folder / "sprung"

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(sprung),)

    (folder / WEIGHTS).unlink()
    torch.save({"wte.weight": Trap()}, path)
    assert "pytorch_model.bin holds something else" in refused(folder)
    assert not sprung.exists()
    torch.load(path, weights_only=False)  # it is a trap indeed
    assert sprung.exists()


@pytest.mark.parametrize(
    "index", ["{", "{}", '{"weight_map": []}', "[]", '{"weight_map": {"a": 1}}']
)
def test_a_shard_index_that_is_none_is_damaged(folder, index):
    (folder / WEIGHTS).unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    assert "model.safetensors.index.json is damaged or incomplete" in refused(folder)


def test_a_missing_shard_is_named(theirs, tmp_path):
    theirs.save_pretrained(tmp_path, max_shard_size="2KB")
    shard = min(tmp_path.glob("model-*.safetensors"))
    shard.unlink()
    assert f"{shard} is damaged or incomplete" in refused(tmp_path)


def test_a_shard_index_cannot_point_out_of_its_folder(folder):
    outside = folder / "outside.safetensors"
    (folder / WEIGHTS).rename(outside)
    inner = folder / "inner"
    inner.mkdir()
    (inner / "config.json").write_bytes((folder / "config.json").read_bytes())
    index = {"weight_map": {"transformer.wte.weight": "../outside.safetensors"}}
    (inner / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"{inner / 'outside.safetensors'} is damaged or incomplete" in refused(inner)


def reshape(tensors):
    tensors["transformer.h.1.mlp.c_fc.weight"] = torch.zeros(8, 31)
    tensors["transformer.wpe.weight"] = torch.zeros(9, 8)
    return tensors


def drop(tensors):
    del tensors["transformer.h.0.ln_1.bias"], tensors["transformer.ln_f.weight"]
    return tensors


def add(tensors):
    tensors["transformer.h.2.ln_1.bias"] = torch.zeros(8)
    tensors["score.weight"] = torch.zeros(2, 8)
    return tensors


def untie(tensors):
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"] + 1
    return tensors


MISMATCHES = [
    (
        reshape,
        "do not fit its config.json: transformer.h.1.mlp.c_fc.weight is (31, 8), expected (32, 8),"
        " transformer.wpe.weight is (9, 8), expected (16, 8).",
    ),
    (drop, "missing: transformer.h.0.ln_1.bias, transformer.ln_f.weight."),
    (add, "unexpected: transformer.h.2.ln_1.bias, transformer.score.weight."),
    (untie, "lm_head.weight differs from the token embedding; GPT-2 ties the two."),
]


@pytest.mark.parametrize(("change", "text"), MISMATCHES, ids=lambda of: getattr(of, "__name__", ""))
def test_weights_that_do_not_fit_are_named_with_their_shapes(folder, change, text):
    rewrite(folder, change)
    assert text in refused(folder)


def test_of_many_problems_the_first_few_are_named(folder):
    rewrite(folder, lambda tensors: {"wte.weight": tensors["transformer.wte.weight"]})
    named = refused(folder).partition("missing: ")[2]
    assert len(re.findall(r"transformer\.[\w.]+\w", named)) == 6
    assert named.endswith(" and 21 more.")


def configure(folder: Path, **changes) -> None:
    """Set the settings of a folder's config.json; a value of ... removes it."""
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | changes
    kept = {key: value for key, value in settings.items() if value is not ...}
    path.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"activation_function": "relu"},
            "asks for activation_function = 'relu'; this GPT-2 has gelu_new or gelu_pytorch_tanh",
        ),
        ({"layer_norm_epsilon": 1e-6}, "asks for layer_norm_epsilon = 1e-06; this GPT-2 has 1e-05"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
        ({"scale_attn_weights": False}, "scale_attn_weights = False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ({"n_inner": 12}, "asks for n_inner = 12; this GPT-2 widens 8 to 32."),
        ({"n_head": ...}, "is no GPT-2 configuration: it lacks 'n_head'."),
        ({"n_head": 3}, "config.json"),
        ({"n_head": 0}, "config.json"),
        ({"n_layer": "2"}, "config.json has a n_layer that no GPT-2 can have: '2'."),
        ({"n_layer": 10**4000}, "that no GPT-2 can have: 100000000000000000...00000000"),
        ({"n_inner": 10**4000}, "asks for n_inner = 100000000000000000...00000000"),
        ({"vocab_size": None}, "config.json"),
        ({"activation_function": []}, "config.json asks for activation_function"),
    ],
    ids=str,
)
def test_a_configuration_of_another_architecture_is_refused(folder, changes, text):
    configure(folder, **changes)
    assert text in refused(folder)


@pytest.mark.parametrize("content", ["{", "[]", "7", "\x80"])
def test_a_configuration_that_is_none_cannot_be_read(folder, content):
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    assert "config.json cannot be read" in refused(folder)


def test_settings_that_are_built_in_may_be_left_out(folder, theirs):
    configure(folder, activation_function=..., layer_norm_epsilon=..., n_inner=...)
    assert_same_model(GPT.from_pretrained(folder), theirs)
