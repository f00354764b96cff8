"""What a GPT-2 can be told by its `config.json`: sizes, settings, and the names they go by.

A field that is left out has the value that it has in the smallest GPT-2. What is neither a size nor
a setting, nor known to change nothing, is refused by its name: better no model than another one.
"""

from collections.abc import Callable
from functools import partial
from math import inf
from reprlib import repr as brief  # a file may hold a number of thousands of digits

from torch import nn

# What no machine holds, and what takes minutes to build before it is known not to be there.
_MOST_PARAMETERS = 10**12
_MOST_LAYERS = 1000

SIZES = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024, "vocab_size": 50257}

SETTINGS = {
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "n_inner": None,  # the width inside an MLP; None: 4 * n_embd
    "scale_attn_weights": True,  # attention scores are divided by sqrt(D)
    "scale_attn_by_inverse_layer_idx": False,  # and by layer + 1
    # Scores in float32 whatever the weights are in. Torch's attention and the engine's have them so
    # always: this changes nothing here, and is kept for those who read what we write.
    "reorder_and_upcast_attn": False,
    "tie_word_embeddings": True,  # the unembedding is the token embedding
}

# Names that Hugging Face has for one function: some are written out there, or with constants of ten
# digits, which is no difference that float32 can hold.
_tanh_gelu = partial(nn.GELU, approximate="tanh")  # the one GPT-2 was trained with
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu_new": _tanh_gelu,
    "gelu_fast": _tanh_gelu,
    "gelu_accurate": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "gelu_python_tanh": _tanh_gelu,
    "gelu": nn.GELU,
    "gelu_python": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
}

_OTHER_NAMES = {
    "n_layer": ("num_hidden_layers",),
    "n_head": ("num_attention_heads",),
    "n_embd": ("hidden_size",),
    "n_positions": ("max_position_embeddings", "n_ctx"),
}

# What a file may say besides without changing what the model computes: about training, about
# generating text, about the tokenizer, about other heads, about the file itself.
_WITHOUT_EFFECT = set(
    """
    _attn_implementation _attn_implementation_autoset _commit_hash _name_or_path _num_labels
    architectures assistant_confidence_threshold assistant_lookbehind attn_implementation
    attn_pdrop bad_words_ids begin_suppress_tokens bos_token_id chunk_size_feed_forward
    cls_token_id decoder_start_token_id diversity_penalty do_sample dtype early_stopping embd_pdrop
    encoder_no_repeat_ngram_size encoder_repetition_penalty eos_token_id epsilon_cutoff eta_cutoff
    exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id
    gradient_checkpointing id2label initializer_range is_decoder label2id length_penalty
    mask_token_id max_length max_new_tokens min_length model_type n_special name_or_path
    no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups
    num_beams num_labels num_return_sequences output_attentions output_hidden_states output_past
    output_scores pad_token_id predict_special_tokens prefix problem_type remove_invalid_values
    repetition_penalty resid_pdrop return_dict return_dict_in_generate sep_token_id
    summary_activation summary_first_dropout summary_last_dropout summary_proj_to_labels
    summary_type summary_use_proj suppress_tokens target_lookbehind task_specific_params
    temperature tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p torch_dtype
    torchscript transformers_version typical_p unk_token_id unsloth_fixed unsloth_version
    use_bfloat16 use_cache xla_device
    """.split()
)


def understood(content: object) -> dict:
    """Sizes and settings of a `config.json`, under the names of `GPT.get_default_config`. Raises
    ValueError with the rest of a sentence that begins with the name of the file."""
    if not isinstance(content, dict):
        raise ValueError("is no GPT-2 configuration: it is no JSON object")
    _check_family(content)
    found = {name: _size(content, name) for name in SIZES}
    if found["n_layer"] > _MOST_LAYERS:
        raise ValueError(
            f"says n_layer = {found['n_layer']:,}; more than {_MOST_LAYERS:,} layers are not built"
            " here"
        )
    if found["n_embd"] % found["n_head"]:
        raise ValueError(
            f"splits n_embd = {found['n_embd']} among n_head = {found['n_head']} heads, which does"
            " not go evenly"
        )
    found["block_size"] = found.pop("n_positions")
    for name, default in SETTINGS.items():
        found[name] = content.get(name, default)
        if not _is_possible(name, found[name]):
            names = f"; it has {', '.join(ACTIVATIONS)}" if name == "activation_function" else ""
            raise _not_had(name, found[name], names)
    known = SIZES.keys() | SETTINGS.keys() | _WITHOUT_EFFECT | set().union(*_OTHER_NAMES.values())
    for name, value in content.items():
        if name not in known and not _is_no(value):
            fix = ": load another model, or remove the field if it is no more than a remark"
            raise _not_had(name, value, fix)
    if found["n_inner"] == 4 * found["n_embd"]:
        found["n_inner"] = None
    if (number := parameters(**found)) > _MOST_PARAMETERS:
        raise ValueError(f"is of a model of {number:,} parameters, which no machine here holds")
    return found


def parameters(
    n_layer: int,
    n_embd: int,
    vocab_size: int,
    block_size: int,
    n_inner: int | None = None,
    tie_word_embeddings: bool = True,
    **_,
) -> int:
    """How many a model of some sizes has."""
    inner = n_inner or 4 * n_embd
    block = 4 * n_embd**2 + 2 * n_embd * inner + 9 * n_embd + inner
    rows = vocab_size * (1 if tie_word_embeddings else 2) + block_size
    return n_layer * block + (rows + 2) * n_embd


def _check_family(content: dict) -> None:
    kind, architectures = content.get("model_type"), content.get("architectures")
    sizes = SIZES.keys() | set().union(*_OTHER_NAMES.values())
    if kind is None and not architectures and not sizes & content.keys():
        raise ValueError("is no GPT-2 configuration: it has neither a model_type nor any size")
    if kind not in (None, "gpt2"):
        raise ValueError(f"is no GPT-2 configuration: its model_type is {brief(kind)}")
    if architectures and "gpt2" not in str(architectures).casefold():
        raise ValueError(f"is no GPT-2 configuration: its architectures are {brief(architectures)}")


def _size(content: dict, name: str) -> int:
    """A size by whichever of its names it is given."""
    given = {key: content[key] for key in (name, *_OTHER_NAMES.get(name, ())) if key in content}
    for key, size in given.items():
        if not _is_size(size):
            raise ValueError(f"has a {key} that no GPT-2 can have: {brief(size)}")
    if len(set(given.values())) > 1:
        both = " and ".join(f"{key} = {size}" for key, size in given.items())
        raise ValueError(f"says {both}, which are one thing: keep what is right")
    return next(iter(given.values()), SIZES[name])


def _is_size(value: object) -> bool:
    return type(value) is int and 0 < value < 2**31


def _is_possible(setting: str, value: object) -> bool:
    match setting:
        case "activation_function":
            return isinstance(value, str) and value in ACTIVATIONS
        case "layer_norm_epsilon":
            return isinstance(value, float) and 0 <= value < inf
        case "n_inner":
            return value is None or _is_size(value)
    return isinstance(value, bool)


def _is_no(value: object) -> bool:
    """Whether a field of that value asks for nothing. A 0 may well ask for something."""
    return value is None or value is False or value in ("", [], {})


def _not_had(name: str, value: object, more: str) -> ValueError:
    return ValueError(f"asks for {name} = {brief(value)}, which this GPT-2 does not have{more}")


def activation(name: str) -> nn.Module:
    """The function of that name. Raises ValueError if there is none."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation_function {name!r} is none of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()
