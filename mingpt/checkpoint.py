"""GPT-2 on disk, in Hugging Face's layout: `config.json` beside the weights.

Weights are read from `model.safetensors`, from shards named by `model.safetensors.index.json`,
or from `pytorch_model.bin`. What differs between the files and our model:

- the files keep the four projection matrices of a block as (in, out), torch's Linear as (out, in);
- names may or may not begin with `transformer.`;
- old files carry the causal mask as `attn.bias` / `attn.masked_bias`, which is no parameter;
- `lm_head.weight` may be left out, being the token embedding once more.

Any other difference is an error that names it. The parameters are copies of their own: whatever
becomes of the files afterwards, a loaded model stays what it was. One tensor is copied at a time,
so that there never are two of all weights in memory.
"""

import json
import os
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from reprlib import repr as brief  # a file may hold a number of thousands of digits

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mingpt.utils import CfgNode as CN

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
PICKLED_WEIGHTS = "pytorch_model.bin"

_TRANSPOSED = re.compile(r"\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$")
_CAUSAL_MASK = re.compile(r"\.attn\.(masked_)?bias$")
_UNEMBEDDING = "lm_head.weight"
_TOKEN_EMBEDDING = "transformer.wte.weight"

# Settings of a GPT-2 config.json that our model has built in; absent keys have these values.
_BUILT_IN = {
    "activation_function": ["gelu_new", "gelu_pytorch_tanh"],
    "layer_norm_epsilon": [1e-5],
    "scale_attn_weights": [True],
    "scale_attn_by_inverse_layer_idx": [False],
    "tie_word_embeddings": [True],
}


class CheckpointError(ValueError):
    """A folder that does not hold a GPT-2 we can load; says which file, what is wrong, the fix."""


def read_config(folder: Path) -> dict:
    """The sizes in `folder/config.json`, under our names."""
    path = folder / CONFIG
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        sizes = {
            "n_layer": settings["n_layer"],
            "n_head": settings["n_head"],
            "n_embd": settings["n_embd"],
            "vocab_size": settings["vocab_size"],
            "block_size": settings["n_positions"],
        }
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is not a model folder: it has no {CONFIG}. Name a folder that holds"
            f" {CONFIG}, {WEIGHTS}, vocab.json and merges.txt, as save_pretrained writes them."
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    except KeyError as error:
        raise CheckpointError(f"{path} is no GPT-2 configuration: it lacks {error}.") from error
    for name, size in sizes.items():
        if not isinstance(size, int) or not 0 < size < 2**31:
            raise CheckpointError(f"{path} has a {name} that no GPT-2 can have: {brief(size)}.")
    if sizes["n_embd"] % sizes["n_head"]:
        raise CheckpointError(
            f"{path} splits n_embd = {sizes['n_embd']} among n_head = {sizes['n_head']} heads,"
            " which does not go evenly."
        )
    for key, allowed in _BUILT_IN.items():
        if settings.get(key, allowed[0]) not in allowed:
            raise CheckpointError(
                f"{path} asks for {key} = {brief(settings[key])}; this GPT-2 has"
                f" {' or '.join(map(str, allowed))} built in."
            )
    if settings.get("n_inner") not in (None, 4 * sizes["n_embd"]):
        raise CheckpointError(
            f"{path} asks for n_inner = {brief(settings['n_inner'])}; this GPT-2 widens"
            f" {sizes['n_embd']} to {4 * sizes['n_embd']}."
        )
    return sizes


def read_state(
    folder: Path, shapes: dict[str, torch.Tensor], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """The weights in `folder` under our names and shapes, ready for `load_state_dict`.

    `shapes` is the state_dict of the model to fill (meta tensors will do). Raises
    CheckpointError when a file is missing or damaged, and when names or shapes do not match.
    """
    state = {}
    for name, tensor in _tensors(folder, dtype):
        name = name if name == _UNEMBEDDING else "transformer." + name.removeprefix("transformer.")
        if _CAUSAL_MASK.search(name):
            continue
        tensor = tensor.t() if _TRANSPOSED.search(name) and tensor.dim() == 2 else tensor
        state[name] = tensor
    if _TOKEN_EMBEDDING in state:
        embedding = state[_TOKEN_EMBEDDING]
        if not torch.equal(state.setdefault(_UNEMBEDDING, embedding), embedding):
            raise CheckpointError(
                f"{folder}: {_UNEMBEDDING} differs from the token embedding; GPT-2 ties the two."
            )
    _check_match(folder, state, shapes)
    return state


def write(config: CN, state: dict[str, torch.Tensor], folder: Path, dtype: torch.dtype) -> None:
    """Write a model's sizes and state_dict so that Hugging Face's GPT-2 reads them too."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "n_positions": config.block_size,
        "vocab_size": config.vocab_size,
        "bos_token_id": config.vocab_size - 1,
        "eos_token_id": config.vocab_size - 1,
        "embd_pdrop": config.embd_pdrop,
        "resid_pdrop": config.resid_pdrop,
        "attn_pdrop": config.attn_pdrop,
    }
    (folder / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    tensors = {
        name: (tensor.t() if _TRANSPOSED.search(name) else tensor).to("cpu", dtype).contiguous()
        for name, tensor in state.items()
        if name != _UNEMBEDDING
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def _tensors(folder: Path, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """Every (name, tensor) of the weight files in `folder`, none of them mapped from a file."""
    if os.path.isfile(folder / WEIGHTS):
        yield from _safetensors(folder / WEIGHTS, dtype)
    elif os.path.isfile(folder / SHARD_INDEX):
        for shard in _shards(folder / SHARD_INDEX):
            yield from _safetensors(shard, dtype)
    elif os.path.isfile(folder / PICKLED_WEIGHTS):
        weights = _pickled(folder / PICKLED_WEIGHTS)
        for name in list(weights):
            yield name, weights.pop(name).to(dtype)
    else:
        raise CheckpointError(
            f"{folder} holds no weights: it has none of {WEIGHTS}, {SHARD_INDEX} and"
            f" {PICKLED_WEIGHTS}."
        )


def _safetensors(path: Path, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
        for name in names:
            # What was read of a file stays in memory until its handle goes: so one for each tensor.
            with safe_open(path, framework="pt") as file:
                tensor = file.get_tensor(name).to(dtype, copy=True)
            yield name, tensor
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{_damaged(path)} ({error})") from error


def _shards(index: Path) -> list[Path]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        # A shard lies beside its index: a name with a folder in it could point anywhere.
        return [index.parent / Path(name).name for name in sorted(names)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{_damaged(index)} ({error!r})") from error


def _pickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file torch raises almost anything
        if not _is_whole(path, error):
            raise CheckpointError(_damaged(path)) from error
        content = None  # of a kind that could run code of its own when it is read
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in content.items()
    ):
        raise CheckpointError(
            f"{path} holds something else than named weights: save the model's state_dict alone."
        )
    return dict(content)


def _is_whole(path: Path, error: Exception) -> bool:
    """Whether a file that torch refused with `error` is complete, so that it is of another kind.

    It is a zip archive, each of its members with a checksum; or, as all were before 2020, a few
    pickles (three small ones and the content) and the numbers behind them.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        if not isinstance(error, pickle.UnpicklingError):
            return False
        with path.open("rb") as file:
            for _ in range(4):
                if file.peek(1):
                    all(pickletools.genops(file))  # reads to the end of one pickle, and runs none
        return True
    except Exception:  # whatever stops the reading, the file is not whole
        return False


def _damaged(path: Path) -> str:
    return f"{path} is damaged or incomplete: copy or download it again."


def _check_match(folder: Path, state: dict, shapes: dict) -> None:
    problems = []
    if missing := sorted(shapes.keys() - state.keys()):
        problems.append(f"missing: {_some(missing)}")
    if unexpected := sorted(state.keys() - shapes.keys()):
        problems.append(f"unexpected: {_some(unexpected)}")
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(shapes[name].shape)}"
        for name in sorted(shapes.keys() & state.keys())
        if state[name].shape != shapes[name].shape
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
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")
