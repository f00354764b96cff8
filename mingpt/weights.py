"""Files of weights, read tensor by tensor: `model.safetensors` or `pytorch_model.bin`, or the
shards of either, which an index names. What the tensors mean is the business of
`mingpt.checkpoint`.

Of a tensor its name and shape are told first, and it is read only when it is asked for: whoever
reads a folder decides what of it is worth the memory.
"""

import io
import os
import pickle
import pickletools
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from mingpt import files
from mingpt.files import Unusable

WHOLE = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"
PICKLED_SHARD_INDEX = "pytorch_model.bin.index.json"

# Bytes that are read by one handle: what was read of a file stays in memory until its handle goes,
# and to open one takes as long as there are tensors.
_BY_A_HANDLE = 1 << 26
# What no model has, and what takes seconds to look through: tensors, bytes that list them, and
# pieces that a pickle is read in.
_MOST_TENSORS = 20_000
_LONGEST_LIST = 1 << 22
_MOST_PIECES = 1_000_000


class CheckpointError(Unusable):
    """A folder that does not hold a GPT-2 we can load; says which file, what is wrong, the fix."""


class Given(NamedTuple):
    """A tensor in a file. `read` gives a copy of it; it raises CheckpointError for a tensor of
    whole numbers or of complex ones, which are no weights."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[torch.dtype], torch.Tensor]


def tensors(folder: Path) -> Iterator[Given]:
    """Every tensor of the weight files in `folder`. Raises CheckpointError."""
    for whole, index, given in (
        (WHOLE, SHARD_INDEX, _safetensors),
        (PICKLED, PICKLED_SHARD_INDEX, _pickled),
    ):
        if os.path.lexists(folder / whole):
            yield from given(folder / whole)
            return
        if os.path.lexists(folder / index):
            for shard in _shards(folder / index):
                yield from given(shard)
            return
    raise CheckpointError(
        f"{folder} holds no weights: it has none of {WHOLE}, {SHARD_INDEX}, {PICKLED} and"
        f" {PICKLED_SHARD_INDEX}."
    )


def _safetensors(path: Path) -> Iterator[Given]:
    _check_there(path)
    with _explained(path):
        with path.open("rb") as begin:
            length = int.from_bytes(begin.read(8), "little")
        if _LONGEST_LIST < length < path.stat().st_size:
            raise CheckpointError(
                f"{path} lists its tensors in {length:,} bytes: more than {_LONGEST_LIST:,} are no"
                " GPT-2."
            )
        file = _Safetensors(path)
        _check_number(path, len(file.names))
        for name in file.names:
            yield Given(name, file.shape(name), partial(file.read, name))


class _Safetensors:
    """A file whose tensors can be read in any order."""

    def __init__(self, path: Path):
        self._path = path
        self._open()
        self.names = list(self._file.keys())

    def _open(self) -> None:
        self._file, self._taken = safe_open(self._path, framework="pt"), 0

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._file.get_slice(name).get_shape())

    def read(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        with _explained(self._path):
            if self._taken > _BY_A_HANDLE:
                self._open()
            tensor = self._file.get_tensor(name)
            self._taken += tensor.nbytes
            return _weights(self._path, name, tensor, dtype)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{_damaged(path)} ({error})") from error


def _shards(index: Path) -> list[Path]:
    try:
        names = set(files.read_json(index)["weight_map"].values())
        # A shard lies beside its index: a name with a folder in it could point anywhere.
        return [index.parent / Path(name).name for name in sorted(names)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{_damaged(index)} ({error!r})") from error


def _pickled(path: Path) -> Iterator[Given]:
    _check_there(path)
    is_archive = _is_archive(path)
    try:
        with path.open("rb") if is_archive else _InPieces(path) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except _TooManyPieces:
        raise CheckpointError(
            f"{path} holds more than the weights of a model: save its state_dict alone."
        ) from None
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
    _check_number(path, len(content))
    for name in list(content):
        tensor = content.pop(name)
        if kind := _unusual(tensor):
            raise CheckpointError(
                f"{path} holds {name} as a {kind} tensor: save the model's state_dict in full."
            )
        yield Given(name, tuple(tensor.shape), partial(_weights, path, name, tensor))


def _unusual(tensor: torch.Tensor) -> str:
    """In which way a tensor is no plain array of numbers, if it is none."""
    if tensor.is_nested:
        return "nested"
    if tensor.is_quantized:
        return "quantized"
    if tensor.layout is not torch.strided:
        return str(tensor.layout).removeprefix("torch.")
    return "" if tensor.device.type == "cpu" else tensor.device.type


def _weights(path: Path, name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A copy of a tensor of a file."""
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{path} holds {name} as {kind}, which are no weights: save the model in float32,"
            " bfloat16 or float16."
        )
    return tensor.to(dtype, copy=True)


def _check_there(path: Path) -> None:
    try:
        files.opened(path).close()
    except FileNotFoundError as error:
        raise CheckpointError(f"{_damaged(path)} (There is no such file.)") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {files.reason(error)}.") from error


def _check_number(path: Path, number: int) -> None:
    if number > _MOST_TENSORS:
        raise CheckpointError(
            f"{path} holds {number:,} tensors: more than {_MOST_TENSORS:,} are no GPT-2."
        )


def _is_archive(path: Path) -> bool:
    """Whether it is a zip archive. One that no saving of a model makes is refused before it is
    unpacked."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # a damaged one raises almost anything
        raise CheckpointError(_damaged(path)) from error
    _check_number(path, len(members))
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise CheckpointError(f"{path} is compressed, as no saved model is: save it again.")
    listed = sum(member.file_size for member in members if member.filename.endswith(".pkl"))
    if listed > _LONGEST_LIST:
        raise CheckpointError(
            f"{path} lists what it holds in {listed:,} bytes: save the model's state_dict alone."
        )
    return True


class _TooManyPieces(Exception):
    pass


class _InPieces(io.BufferedReader):
    """A file that is read in so many pieces at most: a pickle of nothing but instructions would
    take minutes."""

    def __init__(self, path: Path):
        super().__init__(io.FileIO(path))
        self._left = _MOST_PIECES

    def read(self, size: int | None = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise _TooManyPieces
        return super().read(size)


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
        with _InPieces(path) as file:
            for _ in range(4):
                if file.peek(1):
                    all(pickletools.genops(file))  # reads to the end of one pickle, and runs none
        return True
    except Exception:  # whatever stops the reading, the file is not whole
        return False


def _damaged(path: Path) -> str:
    return f"{path} is damaged or incomplete: copy or download it again."
