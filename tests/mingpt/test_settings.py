"""What `config.json` says means what Hugging Face takes it to mean, or is refused by its name."""

import json

import pytest
import torch

from mingpt.checkpoint import CheckpointError, read_config
from mingpt.settings import ACTIVATIONS, SETTINGS, activation

transformers = pytest.importorskip("transformers")

# As the files of GPT-2s say who they are.
WHO = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}


def read(folder, **content) -> dict:
    (folder / "config.json").write_text(json.dumps(content))
    return read_config(folder)


def refused(folder, **content) -> str:
    with pytest.raises(CheckpointError) as refusal:
        read(folder, **content)
    return str(refusal.value).removeprefix(f"{folder / 'config.json'} ")


def test_what_is_left_out_is_as_hugging_face_has_it(tmp_path):
    theirs = transformers.GPT2Config()
    found = read(tmp_path, model_type="gpt2")
    assert found.pop("block_size") == theirs.n_positions
    assert found == {name: getattr(theirs, name) for name in found}
    assert found.keys() == SETTINGS.keys() | {"n_layer", "n_head", "n_embd", "vocab_size"}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_one_hugging_face_calls_so(name):
    x = torch.linspace(-8, 8, 999)
    torch.testing.assert_close(activation(name)(x), transformers.activations.ACT2FN[name](x))


def test_what_hugging_face_writes_is_read_whoever_wrote_it(tmp_path):
    """Today's file, an early one, and all that a file may say of other things."""
    sizes = {"n_layer": 2, "n_head": 2, "n_embd": 8, "n_positions": 16, "vocab_size": 31}
    config = transformers.GPT2Config(**sizes, num_labels=3, task_specific_params={"a": {"b": 1}})
    config.architectures = WHO["architectures"]
    expected = sizes | SETTINGS
    expected["block_size"] = expected.pop("n_positions")
    assert read(tmp_path, **config.to_dict()) == expected
    early = {"initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "n_ctx": 16, "n_special": 0}
    early |= {"finetuning_task": None, "num_labels": 1, "output_past": True, "pruned_heads": {}}
    assert read(tmp_path, **sizes | early) == expected
    generation = transformers.GenerationConfig._get_default_generation_params()
    assert read(tmp_path, **WHO, **sizes, **generation, torch_dtype="float16") == expected


@pytest.mark.parametrize(
    "names",
    [
        {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 8},
        {"n_layer": 2, "num_hidden_layers": 2, "n_head": 4, "n_embd": 8},
    ],
)
@pytest.mark.parametrize("length", ["n_positions", "max_position_embeddings", "n_ctx"])
def test_sizes_go_by_several_names(tmp_path, names, length):
    found = read(tmp_path, **WHO, **names, **{length: 16})
    assert [found[name] for name in ("n_layer", "n_head", "n_embd", "block_size")] == [2, 4, 8, 16]


def test_an_mlp_as_wide_as_gpt2s_is_gpt2s(tmp_path):
    assert read(tmp_path, **WHO, n_inner=3072)["n_inner"] is None
    assert read(tmp_path, **WHO, n_inner=3071)["n_inner"] == 3071


@pytest.mark.parametrize(
    "nothing", [{"adapters": None}, {"rotary": False}, {"pruned_heads": {}}, {"layer_types": []}]
)
def test_an_unknown_field_that_asks_for_nothing_is_passed_over(tmp_path, nothing):
    assert read(tmp_path, **WHO, **nothing) == read(tmp_path, **WHO)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({}, "is no GPT-2 configuration: it has neither a model_type nor any size."),
        ({"use_cache": True}, "is no GPT-2 configuration: it has neither a model_type nor any"),
        ({"model_type": "llama"}, "is no GPT-2 configuration: its model_type is 'llama'."),
        ({"model_type": "gpt_bigcode", "n_layer": 2}, "its model_type is 'gpt_bigcode'."),
        ({"architectures": ["BertForMaskedLM"]}, "its architectures are ['BertForMaskedLM']."),
        (WHO | {"architectures": ["LlamaForCausalLM"]}, "architectures are ['LlamaForCausalLM']."),
    ],
    ids=str,
)
def test_a_model_of_another_family_is_no_gpt2(tmp_path, content, text):
    assert text in refused(tmp_path, **content)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"n_embd": 16, "hidden_size": 8}, "says n_embd = 16 and hidden_size = 8, which are one"),
        ({"n_layer": 2, "num_hidden_layers": 3}, "says n_layer = 2 and num_hidden_layers = 3"),
        ({"n_head": 2, "num_attention_heads": 4}, "says n_head = 2 and num_attention_heads = 4"),
        ({"n_positions": 16, "n_ctx": 8}, "says n_positions = 16 and n_ctx = 8, which are one"),
        ({"max_position_embeddings": 8, "n_ctx": 4}, "max_position_embeddings = 8 and n_ctx = 4"),
    ],
    ids=str,
)
def test_two_fields_that_contradict_each_other_are_named(tmp_path, content, text):
    assert text in refused(tmp_path, **WHO, **content)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation_function", "quick_gelu"),
        ("activation_function", []),
        ("layer_norm_epsilon", "1e-5"),
        ("layer_norm_epsilon", -1e-5),
        ("layer_norm_epsilon", float("nan")),
        ("n_inner", 0),
        ("n_inner", True),
        ("scale_attn_weights", None),
        ("scale_attn_by_inverse_layer_idx", 1),
        ("reorder_and_upcast_attn", "yes"),
        ("tie_word_embeddings", None),
        ("add_cross_attention", True),
        ("is_encoder_decoder", True),
        ("quantization_config", {"bits": 4}),
        ("pruned_heads", {"0": [1]}),
        ("auto_map", {"AutoModelForCausalLM": "modeling.Other"}),
        ("layer_norm_eps", 1e-3),
        ("rotary_dim", 0),
        ("attention_head_type", "multiquery"),
    ],
)
def test_what_this_gpt2_does_not_have_is_refused_by_its_name(tmp_path, name, value):
    text = refused(tmp_path, **WHO, **{name: value})
    assert text.startswith(f"asks for {name} = {value!r}, which this GPT-2 does not have")


def test_a_field_of_somebodys_own_can_be_removed(tmp_path):
    text = ": load another model, or remove the field if it is no more than a remark."
    assert refused(tmp_path, **WHO, trained_by="me").endswith(text)


def test_a_huge_number_or_a_long_list_is_cut_short(tmp_path):
    assert len(refused(tmp_path, **WHO, n_inner=10**4000)) < 200
    assert len(refused(tmp_path, **WHO, layers=[{"a": "b" * 999}] * 999)) < 400


def test_an_unknown_activation_names_those_that_there_are(tmp_path):
    assert refused(tmp_path, **WHO, activation_function="mish").endswith(
        "not have; it has gelu_new, gelu_fast, gelu_accurate, gelu_pytorch_tanh, gelu_python_tanh,"
        " gelu, gelu_python, relu, silu, swish."
    )
