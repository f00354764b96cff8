"""GPT-2 on disk, in Hugging Face's layout: `config.json` beside the weights.

What `config.json` may say is in `mingpt.settings`, which files there are for weights in
`mingpt.weights`. What differs between the files and our model:

- the files keep the four projection matrices of a block as (in, out), torch's Linear as (out, in);
- names may or may not begin with `transformer.`;
- of `lm_head.weight` and the token embedding, where they are one, either may be left out;
- there may be tensors that the model does not read: causal masks, other heads.

Any other difference is an error that names it. The parameters are copies of their own: whatever
becomes of the files afterwards, a loaded model stays what it was. One tensor is copied at a time,
so that there never are two of all weights in memory.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from mingpt import files, settings, weights
from mingpt.utils import CfgNode as CN
from mingpt.weights import CheckpointError

__all__ = ["CheckpointError", "read_config", "read_state", "write"]

CONFIG = "config.json"
_LONGEST_CONFIG = 1 << 20  # bytes; it is read whenever models are listed
ADAPTER = "adapter_config.json"  # of the PEFT library

_TRANSPOSED = re.compile(r"\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$")
_WITHOUT_PREFIX = re.compile(r"(wte|wpe|h|ln_f)\.")
_UNEMBEDDING = "lm_head.weight"
_TOKEN_EMBEDDING = "transformer.wte.weight"

# What files hold beside a model, by the names of its tensors; no token is predicted by it.
_LEFT_OUT = {
    "Causal masks": re.compile(r"(^|\.)attn\.(masked_)?bias$"),
    "A value head": re.compile(r"^v_head\."),
    "A multiple-choice head": re.compile(r"^multiple_choice_head\."),
    "A classifier": re.compile(r"^(score|classifier|qa_outputs)\."),
}


def read_config(folder: Path) -> dict:
    """The sizes and settings in `folder/config.json`, as `GPT.get_default_config` names them."""
    path = folder / CONFIG
    if os.path.isfile(folder / ADAPTER):
        raise CheckpointError(
            f"{folder} holds an adapter to a model ({ADAPTER}), which changes what that computes:"
            " merge the two and save the model."
        )
    try:
        content = files.read_json(path, _LONGEST_CONFIG)
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is not a model folder: it has no {CONFIG}. Name a folder that holds"
            f" {CONFIG}, {weights.WHOLE} and its tokenizer's files, as save_pretrained writes them."
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {files.reason(error)}.") from error
    try:
        return settings.understood(content)
    except ValueError as error:
        raise CheckpointError(f"{path} {error}.") from error


def read_state(
    folder: Path, shapes: dict[str, torch.Tensor], tied: bool, dtype: torch.dtype
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The weights in `folder` under our names and shapes, ready for `load_state_dict`, and a note
    for each kind of tensors that were left out.

    `shapes` is the state_dict of the model to fill (meta tensors will do), `tied` whether its
    unembedding is the token embedding. Raises CheckpointError when a file is missing or damaged,
    and when names or shapes do not match.
    """
    state, found, left_out = {}, {}, {}
    for given in weights.tensors(folder):
        if what := next((w for w, name in _LEFT_OUT.items() if name.search(given.name)), None):
            left_out.setdefault(what, []).append(given.name)
            continue
        name = given.name
        name = f"transformer.{name}" if _WITHOUT_PREFIX.match(name) else name
        if name in found:
            raise CheckpointError(f"the weights in {folder} have {name} twice: keep the right one.")
        is_turned = _TRANSPOSED.search(name) and len(given.shape) == 2
        found[name] = given.shape[::-1] if is_turned else given.shape
        if name in shapes and found[name] == shapes[name].shape:  # else there is no use for it
            tensor = given.read(dtype)
            state[name] = tensor.t() if is_turned else tensor
    if tied:
        _tie(folder, state)
        found = {name: tensor.shape for name, tensor in state.items()} | found
    _check_match(folder, found, shapes)
    return state, tuple(
        f"{what} beside the model, left out: {_some(sorted(names), most=2)}."
        for what, names in left_out.items()
    )


def _tie(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Make the two names of a matrix that files have under one of them or both."""
    if has_own_unembedding(state):
        raise CheckpointError(
            f"{folder}: {_UNEMBEDDING} differs from the token embedding, and {CONFIG} ties the two:"
            " if the model has an unembedding of its own, set tie_word_embeddings to false."
        )
    for name, other in (_TOKEN_EMBEDDING, _UNEMBEDDING), (_UNEMBEDDING, _TOKEN_EMBEDDING):
        if name in state:
            state[other] = state[name]


def has_own_unembedding(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a state_dict has an unembedding that is not the token embedding once more."""
    embedding, unembedding = state.get(_TOKEN_EMBEDDING), state.get(_UNEMBEDDING)
    if embedding is None or unembedding is None or embedding is unembedding:
        return False
    return not torch.equal(embedding, unembedding)


def is_causal_mask(name: str) -> bool:
    """Whether a tensor of that name is a mask that minGPT and older tools save with the weights."""
    return bool(_LEFT_OUT["Causal masks"].search(name))


def write(config: CN, state: dict[str, torch.Tensor], folder: Path, dtype: torch.dtype) -> None:
    """Write a model's settings and state_dict so that Hugging Face's GPT-2 reads them too."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "n_positions": config.block_size,
        "vocab_size": config.vocab_size,
        **{name: getattr(config, name) for name in settings.SETTINGS},
        "bos_token_id": config.vocab_size - 1,
        "eos_token_id": config.vocab_size - 1,
        "embd_pdrop": config.embd_pdrop,
        "resid_pdrop": config.resid_pdrop,
        "attn_pdrop": config.attn_pdrop,
    }
    with files.beside(folder / CONFIG) as path:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tensors = {
        name: (tensor.t() if _TRANSPOSED.search(name) else tensor).to("cpu", dtype).contiguous()
        for name, tensor in state.items()
        if not (config.tie_word_embeddings and name == _UNEMBEDDING)
    }
    with files.beside(folder / weights.WHOLE) as path:
        save_file(tensors, path, metadata={"format": "pt"})


def _check_match(folder: Path, found: dict[str, tuple[int, ...]], shapes: dict) -> None:
    problems = []
    if missing := sorted(shapes.keys() - found.keys()):
        problems.append(f"missing: {_some(missing)}")
    if unexpected := sorted(found.keys() - shapes.keys()):
        problems.append(f"unexpected: {_some(unexpected)}")
    misshapen = [
        f"{name} is {tuple(found[name])}, expected {tuple(shapes[name].shape)}"
        for name in sorted(shapes.keys() & found.keys())
        if found[name] != shapes[name].shape
    ]
    if misshapen:
        problems.append(_some(misshapen))
    if problems:
        raise CheckpointError(
            f"the weights in {folder} do not fit its {CONFIG}: {'; '.join(problems)}."
        )


def _some(items: list[str], most: int = 6) -> str:
    """The first few of `items`, and how many more there are."""
    rest = len(items) - most
    return ", ".join(files.shown(item, 100) for item in items[:most]) + (
        f" and {rest} more" if rest > 0 else ""
    )
