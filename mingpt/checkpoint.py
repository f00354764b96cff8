"""GPT-2 on disk, in Hugging Face's layout: `config.json` beside the weights.

What `config.json` may say is in `mingpt.settings`. Weights are read from `model.safetensors` or
from `pytorch_model.bin`, or from the shards of either, which an index names. What differs between
the files and our model:

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
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mingpt import settings
from mingpt.utils import CfgNode as CN

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
PICKLED_WEIGHTS = "pytorch_model.bin"
ADAPTER = "adapter_config.json"  # of the PEFT library
PICKLED_SHARD_INDEX = "pytorch_model.bin.index.json"

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


class CheckpointError(ValueError):
    """A folder that does not hold a GPT-2 we can load; says which file, what is wrong, the fix."""


def read_config(folder: Path) -> dict:
    """The sizes and settings in `folder/config.json`, as `GPT.get_default_config` names them."""
    path = folder / CONFIG
    if os.path.isfile(folder / ADAPTER):
        raise CheckpointError(
            f"{folder} holds an adapter to a model ({ADAPTER}), which changes what that computes:"
            " merge the two and save the model."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is not a model folder: it has no {CONFIG}. Name a folder that holds"
            f" {CONFIG}, {WEIGHTS} and its tokenizer's files, as save_pretrained writes them."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
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
    state, left_out = {}, {}
    for given, tensor in _tensors(folder, dtype):
        if what := next((what for what, name in _LEFT_OUT.items() if name.search(given)), None):
            left_out.setdefault(what, []).append(given)
            continue
        name = f"transformer.{given}" if _WITHOUT_PREFIX.match(given) else given
        if name in state:
            raise CheckpointError(f"the weights in {folder} have {name} twice: keep the right one.")
        state[name] = tensor.t() if _TRANSPOSED.search(name) and tensor.dim() == 2 else tensor
    if tied:
        _tie(folder, state)
    _check_match(folder, state, shapes)
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
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tensors = {
        name: (tensor.t() if _TRANSPOSED.search(name) else tensor).to("cpu", dtype).contiguous()
        for name, tensor in state.items()
        if not (config.tie_word_embeddings and name == _UNEMBEDDING)
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def _tensors(folder: Path, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """Every (name, tensor) of the weight files in `folder`, none of them mapped from a file."""
    for whole, index, read in (
        (WEIGHTS, SHARD_INDEX, _safetensors),
        (PICKLED_WEIGHTS, PICKLED_SHARD_INDEX, _pickled),
    ):
        if os.path.isfile(folder / whole):
            yield from read(folder / whole, dtype)
            return
        if os.path.isfile(folder / index):
            for shard in _shards(folder / index):
                yield from read(shard, dtype)
            return
    raise CheckpointError(
        f"{folder} holds no weights: it has none of {WEIGHTS}, {SHARD_INDEX}, {PICKLED_WEIGHTS} and"
        f" {PICKLED_SHARD_INDEX}."
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


def _pickled(path: Path, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
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
    for name in list(content):
        yield name, content.pop(name).to(dtype)


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
