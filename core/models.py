"""Loading a model, from wherever `core.catalogue` says that it is and `core.delivery` brings it."""

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from core import card
from core.catalogue import TEACHING, Entry
from core.delivery import download
from core.engine import work
from core.errors import UserError
from core.machine import computed_with
from core.result import ModelCard
from core.teaching import history
from mingpt import hub
from mingpt.bpe import Encoder, TokenizerError, load_encoder
from mingpt.checkpoint import CheckpointError, read_config
from mingpt.model import GPT
from mingpt.settings import parameters

# Half the memory for the large sizes, at two or three digits instead of six; set by whoever starts
# the server.
DTYPE_VARIABLE = "PATCHBOARD_DTYPE"
DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}

_SUFFIXES = {".json", ".safetensors", ".bin", ".txt", ".bpe"}  # of the files that make a model


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run. It is shared between threads: nothing may write to it."""

    entry: Entry
    card: ModelCard
    gpt: GPT
    encoder: Encoder
    seconds: float  # that loading took


def load_tokenizer(entry: Entry) -> Encoder:
    """The tokenizer alone, from this machine. Raises UserError if it is not here or damaged."""
    pinned = entry.name in hub.MODELS and hub.MODELS[entry.name].is_pinned
    folder = hub.locate_tokenizer() if pinned else entry.location
    if folder is None:
        raise UserError(f"{entry.title} is not on this machine yet.", "model")
    try:
        return _encoder(folder, _version(folder))
    except TokenizerError as error:
        raise UserError(str(error), "model") from error


@lru_cache(maxsize=4)
def _encoder(folder: Path, version: tuple) -> Encoder:
    """Parsed once for each `version` of the files, since GPT-2's take a tenth of a second."""
    return load_encoder(folder)


def version(entry: Entry) -> tuple:
    """What changes when a model's files do, found out without reading them: the name, the time of
    the last change (ns), the size (bytes) and the inode of each; empty if the model is not here."""
    return _version(entry.location) if entry.location else ()


def _version(folder: Path) -> tuple:
    files = []
    with suppress(OSError):  # the folder may be removed meanwhile
        for path in sorted(folder.iterdir()):
            with suppress(OSError):  # a link may lead nowhere
                if path.suffix in _SUFFIXES:
                    state = path.stat()
                    files.append((path.name, state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(files)


def load(
    entry: Entry,
    device: str = "auto",
    on_progress: hub.OnProgress | None = None,
    dtype: str | None = None,
) -> LoadedModel:
    """A model ready to run, downloaded first if it has to be (see `download`).

    `device` is "auto" (a GPU if there is one) or any name torch knows; `dtype` one of DTYPES, by
    default what the environment variable PATCHBOARD_DTYPE names, or float32. Raises UserError for
    files that are missing, damaged, no GPT-2 or being replaced, and for a device or dtype that
    there is not.
    """
    dtype = dtype or os.environ.get(DTYPE_VARIABLE, "float32")
    if dtype not in DTYPES:
        raise UserError(f"There is no dtype {dtype!r}: choose {', '.join(DTYPES)}.", "model")
    folder = download(entry, on_progress)
    started = time.perf_counter()
    before = _version(folder)
    _check_whole(entry)
    try:
        _check_memory(folder, DTYPES[dtype])
        encoder = _encoder(folder, before)
        if entry.checkpoint:
            gpt = history.load(entry.checkpoint).to(DTYPES[dtype])
        else:
            gpt = GPT.from_pretrained(folder, DTYPES[dtype])
    except (CheckpointError, TokenizerError) as error:
        raise UserError(str(error), "model") from error
    if _version(folder) != before:  # some of the tensors may be old and others new
        raise UserError(f"The files in {folder} changed while they were read: try again.", "model")
    last = max(encoder.encoder.values())
    if last >= gpt.config.vocab_size:
        raise UserError(
            f"The tokenizer in {folder} has ids for {last + 1:,} tokens and the model only"
            f" {gpt.config.vocab_size:,}: they do not belong together.",
            "model",
        )
    gpt.requires_grad_(False)
    prints, release = fingerprint(gpt), entry.release
    gpt = place(gpt, device)
    model = ModelCard(
        name=entry.name,
        fingerprint=prints,
        layers=gpt.config.n_layer,
        parameters=sum(parameter.numel() for parameter in gpt.parameters()),
        dtype=dtype,
        source=_source(entry),
        revision=release.revision if release and release.is_pinned else "",
        settings=card.differences(gpt),
        tokenizer=card.tokenizer(encoder, folder),
        memory=sum(parameter.nbytes for parameter in gpt.parameters()),
        notes=(*gpt.notes, *encoder.extras.notes),
        smoke_test=card.smoke_test(gpt, encoder, entry.closed_vocabulary),
        computed_with=computed_with(),
    )
    return LoadedModel(entry, model, gpt, encoder, time.perf_counter() - started)


def _check_whole(entry: Entry) -> None:
    """Raise UserError for files of ours that no longer are what was downloaded."""
    if entry.folder is None and (damaged := hub.damaged(entry.name)):
        raise UserError(
            f"{damaged[0]} is damaged: it no longer holds what was downloaded. Delete it, and it is"
            " downloaded again.",
            "model",
        )


def _check_memory(folder: Path, dtype: torch.dtype) -> None:
    """Raise UserError for a model that finds no room, before anything of it is built."""
    number, free = parameters(**read_config(folder)), work.available_memory()
    needed = number * dtype.itemsize
    if free is not None and needed > free:
        raise UserError(
            f"The model in {folder} has {number:,} parameters, which take {needed / 1e9:,.1f} GB of"
            f" memory, and {free / 1e9:,.1f} GB are free: choose a smaller one, or half precision.",
            "model",
        )


def _source(entry: Entry) -> str:
    """Where a model's files came from, in words; of this machine nothing but what it is called."""
    if entry.of:
        return f"the hub's repository {entry.of.repo}, revision {entry.of.revision}"
    return "bundled with Patchboard" if entry.base == TEACHING.name else "a local folder"


def fingerprint(gpt: GPT) -> str:
    """Twelve hexadecimal digits that stand for the weights: SHA-256 over the name, the shape and
    some 256 evenly spread values of every parameter. Any training changes it, and it takes
    milliseconds where hashing gigabytes would take seconds."""
    digest = hashlib.sha256()
    for name, parameter in gpt.named_parameters():
        per_axis = 256 if parameter.dim() == 1 else 16
        spread = tuple(slice(None, None, max(1, size // per_axis)) for size in parameter.shape)
        digest.update(f"{name} {tuple(parameter.shape)}".encode())
        digest.update(parameter.detach()[spread].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def place(gpt: GPT, device: str) -> GPT:
    """Move a model to a device, "auto" being a GPU if there is one. Raises UserError if there is
    no such device."""
    if device == "auto":
        mps = "mps" if torch.backends.mps.is_available() else "cpu"
        device = "cuda" if torch.cuda.is_available() else mps
    try:
        torch.ones(1, device=device).item()  # "meta" holds no numbers
        return gpt.to(device)
    except Exception as error:  # what torch raises differs from device to device
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"The device {device!r} cannot be used: {reason}", "device") from error
