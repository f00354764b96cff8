"""Hugging Face's GPT-2 files: ours and theirs are one model, and what does not fit is named."""

import io
import json
import os
import pickle
import re
import zipfile
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mingpt import hub, weights
from mingpt.checkpoint import CheckpointError
from mingpt.model import GPT, MODEL_TYPES
from mingpt.settings import ACTIVATIONS
from tests.builders import UNUSUAL, random_gpt, shake

transformers = pytest.importorskip("transformers")

WEIGHTS = "model.safetensors"


def hugging_face(n_layer=2, n_head=2, n_embd=8, n_positions=16, **settings):
    """Their model with random weights, in evaluation mode."""
    config = transformers.GPT2Config(
        n_layer=n_layer,
        n_head=n_head,
        n_embd=n_embd,
        n_positions=n_positions,
        vocab_size=31,
        bos_token_id=30,
        eos_token_id=30,
        **settings,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    shake(model, seed=0)
    return model


@pytest.fixture
def theirs():
    return hugging_face()


@pytest.fixture
def folder(theirs, tmp_path) -> Path:
    """Their model as their `save_pretrained` writes it."""
    theirs.save_pretrained(tmp_path)
    return tmp_path


@torch.no_grad()
def assert_same_model(ours: GPT, theirs, *lengths: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for length in lengths or (1, 7, ours.block_size):
        ids = torch.randint(31, (1, length), generator=generator)
        expected = theirs(ids).logits
        assert expected.std() > 0.5  # the tolerance is small beside what there is to get wrong
        torch.testing.assert_close(ours(ids)[0], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"])
def test_the_four_released_shapes_compute_what_hugging_face_computes(name, tmp_path):
    """With their true numbers of layers and heads, and narrow heads."""
    n_layer, n_head = MODEL_TYPES[name]["n_layer"], MODEL_TYPES[name]["n_head"]
    theirs = hugging_face(n_layer, n_head, 4 * n_head, n_positions=32)
    theirs.save_pretrained(tmp_path)
    ours = GPT.from_pretrained(tmp_path)
    assert ours.block_size == 32
    assert_same_model(ours, theirs, 1, 2, 19, 32)


@pytest.mark.parametrize(
    "settings",
    [
        *({"activation_function": name} for name in ACTIVATIONS),
        {"layer_norm_epsilon": 0.1},
        {"n_inner": 12},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True},
        {"tie_word_embeddings": False},
        UNUSUAL,
    ],
    ids=str,
)
def test_a_model_with_other_settings_computes_what_hugging_face_computes(settings, tmp_path):
    """Also once it has been saved again, by us."""
    theirs = hugging_face(n_layer=3, **settings)
    theirs.save_pretrained(tmp_path)
    ours = GPT.from_pretrained(tmp_path)
    assert_same_model(ours, theirs)
    assert sum(p.numel() for p in ours.parameters()) == theirs.num_parameters()
    ours.save_pretrained(tmp_path)
    assert_same_model(GPT.from_pretrained(tmp_path), theirs)
    assert_same_model(ours, transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval())


def saved(content, zipped=True) -> bytes:
    """A pickle of torch's: a zip archive, or as in 2019."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def pickle_in(folder: Path, content: bytes) -> Path:
    """A file of weights in place of a folder's own."""
    (folder / WEIGHTS).unlink()
    path = folder / "pytorch_model.bin"
    path.write_bytes(content)
    return path


LAYOUTS = ["safetensors", "shards", "a pickle", "a legacy pickle", "shards of pickles"]


def shard_pickles(folder: Path, *states: dict) -> None:
    """Weights as transformers wrote them in several files before there were safetensors."""
    index = {}
    for number, state in enumerate(states):
        name = f"pytorch_model-{number + 1:05}-of-{len(states):05}.bin"
        (folder / name).write_bytes(saved(state))
        index |= dict.fromkeys(state, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))


@pytest.fixture(params=LAYOUTS)
def in_any_layout(request, theirs, folder) -> Path:
    """A folder with the model's weights in one of the layouts that there are."""
    if request.param == "shards":
        (folder / WEIGHTS).unlink()
        theirs.save_pretrained(folder, max_shard_size="2KB")
        assert len(list(folder.glob("model-*.safetensors"))) > 2
    elif request.param == "shards of pickles":
        (folder / WEIGHTS).unlink()
        named = list(theirs.state_dict().items())
        shard_pickles(folder, *(dict(named[n::3]) for n in range(3)))
    elif request.param != "safetensors":
        pickle_in(folder, saved(theirs.state_dict(), zipped=request.param == "a pickle"))
    return folder


def test_a_model_loaded_from_any_layout_is_theirs_and_ready_to_use(in_any_layout, theirs):
    model = GPT.from_pretrained(str(in_any_layout))
    assert_same_model(model, theirs)
    assert not model.training
    assert model.lm_head.weight is model.transformer.wte.weight
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        # As in the file, the input first: products are faster so.
        transposed = ".h." in name and parameter.dim() == 2
        assert (parameter.t() if transposed else parameter).is_contiguous(), name


def kept(entries: dict) -> dict:
    return {name: value for name, value in entries.items() if value is not ...}


def rewrite(folder: Path, change) -> None:
    """Apply `change` to the dictionary of the tensors in a folder's weights."""
    tensors = change(load_file(folder / WEIGHTS))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def as_of_2019(tensors):
    mask = torch.ones(1, 1, 16, 16).tril()
    for layer in range(2):
        tensors[f"transformer.h.{layer}.attn.bias"] = mask.clone()
        tensors[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}


def with_unembedding(tensors):
    return tensors | {"lm_head.weight": tensors["transformer.wte.weight"].clone()}


def with_unembedding_alone(tensors):
    return {
        name.replace("transformer.wte.", "lm_head."): tensor for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("change", [as_of_2019, with_unembedding, with_unembedding_alone])
def test_the_files_that_are_about_differ_in_ways_that_do_not_matter(folder, theirs, change):
    rewrite(folder, change)
    assert_same_model(GPT.from_pretrained(folder), theirs)


HEADS = {
    "v_head.summary.weight": torch.ones(1, 8),
    "v_head.summary.bias": torch.ones(1),
    "multiple_choice_head.summary.weight": torch.ones(1, 8),
    "score.weight": torch.ones(2, 8),
    "module.transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
}


def test_what_is_no_part_of_the_model_is_left_out_and_named(folder, theirs):
    assert GPT.from_pretrained(folder).notes == ()
    rewrite(folder, lambda tensors: as_of_2019(tensors) | HEADS)
    ours = GPT.from_pretrained(folder)
    assert_same_model(ours, theirs)
    assert sorted(ours.notes) == [
        "A classifier beside the model, left out: score.weight.",
        "A multiple-choice head beside the model, left out: multiple_choice_head.summary.weight.",
        "A value head beside the model, left out: v_head.summary.bias, v_head.summary.weight.",
        "Causal masks beside the model, left out: h.0.attn.bias, h.0.attn.masked_bias and 3 more.",
    ]


def test_half_precision_files_become_full_precision_models(folder, theirs):
    theirs.half().save_pretrained(folder)
    ours = GPT.from_pretrained(folder)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    assert_same_model(ours, theirs.float())


def test_hugging_face_reads_what_we_save(tmp_path):
    ours = random_gpt(2, 2, 8, vocab_size=31)
    ours.save_pretrained(tmp_path)
    assert_same_model(ours, transformers.GPT2LMHeadModel.from_pretrained(tmp_path).eval())
    again = GPT.from_pretrained(tmp_path).state_dict()
    for name, tensor in ours.state_dict().items():
        assert torch.equal(again[name], tensor), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loaded_model_stays_what_it_was_whatever_becomes_of_its_files(in_any_layout, dtype):
    model = GPT.from_pretrained(in_any_layout, dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for path in in_any_layout.iterdir():
        with path.open("r+b") as file:  # in place, as a careless copy over it does
            file.write(bytes(path.stat().st_size))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    if (maps := Path("/proc/self/maps")).exists():  # a mapped file that is cut short is fatal
        assert str(in_any_layout) not in maps.read_text()


@pytest.mark.parametrize("given", [Path("gpt2"), "./gpt2", "gpt2/"])
def test_a_folder_called_like_a_released_model_is_a_folder(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "fetch", None)
    model = random_gpt(1, 2, 8)
    model.save_pretrained("gpt2")
    loaded = GPT.from_pretrained(given)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


# --- What does not fit --------------------------------------------------------------------------


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as refusal:
        GPT.from_pretrained(folder)
    return str(refusal.value)


def test_a_folder_without_a_configuration_is_no_model(tmp_path):
    assert re.search(
        "is not a model folder: it has no config.json. Name a folder that holds config.json,"
        " model.safetensors and its tokenizer's files",
        refused(tmp_path),
    )
    assert "is not a model folder" in refused(tmp_path / "that is not there")


def test_a_folder_without_weights_says_which_there_might_be(folder):
    (folder / WEIGHTS).unlink()
    assert refused(folder).endswith(
        "holds no weights: it has none of model.safetensors, model.safetensors.index.json,"
        " pytorch_model.bin and pytorch_model.bin.index.json."
    )


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99])
def test_truncated_weights_are_damaged(in_any_layout, share):
    paths = [path for path in in_any_layout.iterdir() if path.suffix != ".json"]
    path = max(paths, key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    text = f"{path} is damaged or incomplete: copy or download it again."
    assert refused(in_any_layout).startswith(text)


@pytest.mark.parametrize(
    "content",
    [
        saved({"wte.weight": Path("no weights")}).replace(b"no weights", b"no w\0ights"),
        saved(torch.zeros(3), zipped=False).replace(b"ctorch", b"\xfftorch"),  # no instruction
        b"<html>",
        b"\x80\x02\xff",
        b".",
    ],
    ids=["a broken archive", "a broken pickle", "a page", "half a pickle", "an empty pickle"],
)
def test_what_is_neither_a_pickle_nor_an_archive_is_damaged(folder, content):
    path = pickle_in(folder, content)
    assert f"{path} is damaged or incomplete" in refused(folder)


@pytest.mark.parametrize(
    "save",
    [saved, partial(saved, zipped=False), partial(pickle.dumps, protocol=2)],
    ids=["a zip archive", "as of 2019", "a plain pickle"],
)
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
    path = pickle_in(folder, save(content))
    assert refused(folder) == (
        f"{path} holds something else than named weights: save the model's state_dict alone."
    )


def test_a_pickle_is_never_executed(folder):
    sprung = folder / "sprung"

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(sprung),)

    path = pickle_in(folder, saved({"wte.weight": Trap()}))
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


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"h.1.mlp.c_fc.weight": torch.zeros(8, 31), "wpe.weight": torch.zeros(9, 8)},
            "do not fit its config.json: transformer.h.1.mlp.c_fc.weight is (31, 8), expected"
            " (32, 8), transformer.wpe.weight is (9, 8), expected (16, 8).",
        ),
        (
            {"h.0.ln_1.bias": ..., "ln_f.weight": ...},
            "missing: transformer.h.0.ln_1.bias, transformer.ln_f.weight.",
        ),
        (
            {"h.2.ln_1.bias": torch.zeros(8), "h.0.crossattention.bias": torch.zeros(1)},
            "unexpected: transformer.h.0.crossattention.bias, transformer.h.2.ln_1.bias.",
        ),
        (
            {"lm_head.weight": torch.ones(31, 8)},
            "lm_head.weight differs from the token embedding, and config.json ties the two: if the"
            " model has an unembedding of its own, set tie_word_embeddings to false.",
        ),
        (
            {"transformer.h.0.ln_1.bias": torch.ones(8)},
            " have transformer.h.0.ln_1.bias twice: keep the right one.",
        ),
        (
            {"module.ln_f.bias": torch.ones(8), "ln_f.bias": ...},
            "missing: transformer.ln_f.bias; unexpected: module.ln_f.bias.",
        ),
    ],
    ids=["other shapes", "missing", "unexpected", "untied", "twice", "another prefix"],
)
def test_weights_that_do_not_fit_are_named_with_their_shapes(folder, changes, text):
    rewrite(folder, lambda tensors: kept(as_of_2019(tensors) | changes))
    assert text in refused(folder)


def test_an_adapter_is_not_passed_over(folder):
    (folder / "adapter_config.json").write_text("{}")
    text = "holds an adapter to a model (adapter_config.json), which changes what that computes:"
    assert text in refused(folder)


def test_a_name_in_two_shards_is_refused(folder):
    state = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    shard_pickles(folder, state, {"wte.weight": torch.zeros(31, 8)})
    assert "have transformer.wte.weight twice" in refused(folder)


def test_an_unembedding_of_its_own_has_to_be_there(folder):
    configure(folder, tie_word_embeddings=False)
    assert "do not fit its config.json: missing: lm_head.weight." in refused(folder)


def test_of_many_problems_the_first_few_are_named(folder):
    rewrite(folder, lambda tensors: {"wte.weight": tensors["transformer.wte.weight"]})
    named = refused(folder).partition("missing: ")[2]
    assert len(re.findall(r"transformer\.[\w.]+\w", named)) == 6
    assert named.endswith(" and 21 more.")


def configure(folder: Path, **changes) -> None:
    """Set the settings of a folder's config.json; a value of ... removes it."""
    path = folder / "config.json"
    path.write_text(json.dumps(kept(json.loads(path.read_text()) | changes)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"n_head": 3}, "config.json splits n_embd = 8 among n_head = 3 heads, which does not go"),
        ({"n_head": 0}, "config.json has a n_head that no GPT-2 can have: 0."),
        ({"n_head": None}, "config.json has a n_head that no GPT-2 can have: None."),
        ({"n_layer": True}, "config.json has a n_layer that no GPT-2 can have: True."),
        ({"n_layer": "2"}, "config.json has a n_layer that no GPT-2 can have: '2'."),
        (
            {"n_layer": 100_000},
            "config.json says n_layer = 100,000; more than 1,000 layers are not",
        ),
        ({"n_embd": 2**30}, "27,670,116,191,094,964,224 parameters, which no machine"),
        ({"n_layer": 10**4000}, "that no GPT-2 can have: 100000000000000000...00000000"),
    ],
    ids=str,
)
def test_sizes_that_no_gpt2_can_have_are_refused(folder, changes, text):
    configure(folder, **changes)
    assert text in refused(folder)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "cannot be read"),
        ("\x80", "cannot be read"),
        ("[" * 99_999, "cannot be read"),
        ("[]", "is no GPT-2 configuration: it is no JSON object."),
        ("7", "is no GPT-2 configuration: it is no JSON object."),
    ],
)
def test_a_configuration_that_is_none_is_refused(folder, content, text):
    (folder / "config.json").write_bytes(content.encode("latin-1"))
    assert f"config.json {text}" in refused(folder)


# --- Files of thousands -------------------------------------------------------------------------


@pytest.fixture
def handles(monkeypatch) -> list:
    """One entry for every time that a file of safetensors is opened."""
    opened = []
    monkeypatch.setattr(
        weights, "safe_open", lambda *of, **how: opened.append(of) or safe_open(*of, **how)
    )
    return opened


def test_a_file_of_many_tensors_is_opened_once(folder, theirs, handles):
    masks = {f"h.{n}.attn.bias": torch.zeros(1, dtype=torch.float16) for n in range(8000)}
    rewrite(folder, lambda tensors: tensors | masks)
    assert_same_model(GPT.from_pretrained(folder), theirs)
    assert len(handles) == 1


def test_what_was_read_of_a_large_file_is_let_go(folder, theirs, handles, monkeypatch):
    monkeypatch.setattr(weights, "_BY_A_HANDLE", 1000)
    assert_same_model(GPT.from_pretrained(folder), theirs)
    total = sum(tensor.nbytes for tensor in load_file(folder / WEIGHTS).values())
    assert total / 4000 < len(handles) <= total / 1000 + 1


@pytest.mark.parametrize("save", [save_file, torch.save])
def test_more_tensors_than_any_model_has_are_not_looked_through(folder, save):
    path = folder / (WEIGHTS if save is save_file else "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    save({f"t{n}": torch.zeros(1, dtype=torch.float16) for n in range(20_001)}, path)
    assert "holds 20,0" in refused(folder) and "more than 20,000 are no GPT-2" in refused(folder)
    if save is save_file:
        path.write_bytes((1 << 25).to_bytes(8, "little") + bytes(1 << 26))
        assert "lists its tensors in 33,554,432 bytes" in refused(folder)


def test_a_pickle_of_nothing_but_instructions_is_left_off(folder):
    pickle_in(folder, b"\x80\x02" + b"]0" * 2_000_000)
    assert "pytorch_model.bin" in refused(folder)


def test_an_archive_that_grows_when_it_is_unpacked_is_not(folder):
    path = folder / "pytorch_model.bin"
    (folder / WEIGHTS).unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    assert "is compressed, as no saved model is" in refused(folder)


MATRIX = "transformer.h.0.mlp.c_fc.weight"
UNUSUAL_TENSORS = {
    "a nested tensor": lambda m: torch.nested.nested_tensor([m[0], m[1, :3]]),
    "a quantized tensor": lambda m: torch.quantize_per_tensor(m, 0.1, 0, torch.qint8),
    "a sparse_coo tensor": lambda m: m.to_sparse(),
    "a meta tensor": lambda m: m.to("meta"),
    "int64, which are no weights": lambda m: m.long(),
    "complex64, which are no weights": lambda m: m.to(torch.complex64),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", UNUSUAL_TENSORS)
def test_what_is_no_array_of_numbers_is_named(folder, kind):
    state = load_file(folder / WEIGHTS)
    pickle_in(folder, saved(state | {MATRIX: UNUSUAL_TENSORS[kind](state[MATRIX])}))
    assert f"holds {MATRIX} as {kind}" in refused(folder)


def test_a_tensor_of_another_size_is_not_copied(folder):
    state = load_file(folder / WEIGHTS)
    pickle_in(folder, saved(state | {MATRIX: torch.zeros(1).expand(10**6, 10**7)}))
    assert f"{MATRIX} is (10000000, 1000000), expected (32, 8)" in refused(folder)


@pytest.mark.parametrize("name", ["\ud800", "\x00", "..", "", "pipe"])
def test_a_shard_of_a_name_that_no_file_has_cannot_be_read(folder, name):
    os.mkfifo(folder / "pipe")
    (folder / WEIGHTS).unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    assert "cannot be read" in refused(folder)


def test_a_file_that_may_not_be_read_says_so(folder, monkeypatch):
    """As root may read everything, the system is made to refuse."""

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("mingpt.files.opened", refuse)
    with pytest.raises(CheckpointError, match=r"config.json cannot be read: .*Permission denied"):
        GPT.from_pretrained(folder)
    monkeypatch.undo()
    monkeypatch.setattr("mingpt.weights.files.opened", refuse)
    monkeypatch.setattr("mingpt.files.read_json", lambda path, most: json.loads(path.read_bytes()))
    assert refused(folder).endswith("model.safetensors cannot be read: Permission denied.")
