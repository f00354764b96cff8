"""The catalogue of models, and loading one.

A model is the bundled teaching model, one of the released GPT-2s, a local folder in Hugging
Face's layout, or any repository of the hub, `owner/name` or `owner/name@revision`. Where the files
come from is `mingpt.hub`'s business, what is in them `mingpt.checkpoint`'s. A checkpoint on the way
of the teaching model's training is a model of its own, called `teaching@seed0-step700`.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from core import card, teaching
from core.errors import UserError
from core.machine import computed_with
from core.result import ModelCard
from core.teaching import history
from core.teaching.history import Checkpoint
from mingpt import hub
from mingpt.bpe import Encoder, TokenizerError, load_encoder
from mingpt.checkpoint import CheckpointError, read_config
from mingpt.model import GPT
from mingpt.repository import in_order as order_of

# A directory whose subfolders the app offers as models; set by whoever starts the server.
FOLDERS_VARIABLE = "PATCHBOARD_MODELS"

# Whether the app offers any repository of the hub, as the command line does; set like the other.
HUB_VARIABLE = "PATCHBOARD_HUB"

# Half the memory for the large sizes, at two or three digits instead of six; set like the other.
DTYPE_VARIABLE = "PATCHBOARD_DTYPE"
DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}

_SUFFIXES = {".json", ".safetensors", ".bin", ".txt", ".bpe"}  # of the files that make a model


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue: what a person needs to choose it."""

    name: str
    title: str
    about: str
    folder: Path | None = None  # None: a release that `mingpt.hub` finds or downloads
    closed_vocabulary: bool = False  # words it was not made for come to it in pieces
    memory: int = 0  # bytes that a release takes when it is loaded
    checkpoint: Checkpoint | None = None  # on the way of the training; None: the model itself

    @property
    def is_repository(self) -> bool:
        """Whether it is one of the hub's that is no release of the catalogue."""
        return self.folder is None and self.name not in hub.MODELS

    @property
    def of(self) -> hub.Named | None:
        """Its repository and revision on the hub; None if it is not from there."""
        return None if self.folder else hub.repository_of(self.name)

    @property
    def release(self) -> hub.Release | None:
        """Its files on the hub; None if it has none there, or if the hub has not been asked yet."""
        return None if self.folder else hub.release(self.name)

    @property
    def refusal(self) -> str | None:
        """Why it cannot be loaded, as far as its configuration tells."""
        folder = self.folder or hub.locate_config(self.name)
        try:
            if folder:
                read_config(folder)
            return None
        except CheckpointError as error:
            return f"{self.title} cannot be loaded: {error}"

    @property
    def base(self) -> str:
        """The name of the model of whose training it is a moment, or its own."""
        return self.name.partition("@")[0] if self.checkpoint else self.name

    @property
    def location(self) -> Path | None:
        """The folder with the model's files on this machine; None if it is not here."""
        return self.folder or hub.locate(self.name)

    @property
    def state(self) -> str:
        """What this machine has of it: "ready", "partial" or "absent"."""
        return "ready" if self.folder else hub.state(self.name).status

    @property
    def missing_bytes(self) -> int:
        """What a download still has to bring, about; 0 if the model is here."""
        if self.location or not self.release:
            return 0
        return max(0, self.release.download_bytes - hub.state(self.name).bytes_here)


TEACHING = Entry(
    "teaching",
    "Teaching model",
    "A small GPT of our own, here at once. It knows its own little language of people, places and"
    " things, and nothing else: for real prose take GPT-2.",
    teaching.WEIGHTS,
    closed_vocabulary=True,
)
_RELEASED = tuple(
    Entry(name, title, f"{size}; takes {memory} GB of memory.", memory=memory * 10**9)
    for name, title, size, memory in (
        ("gpt2", "GPT-2 small", "124M parameters, 12 layers", 1),
        ("gpt2-medium", "GPT-2 medium", "355M parameters, 24 layers", 2),
        ("gpt2-large", "GPT-2 large", "774M parameters, 36 layers", 4),
        ("gpt2-xl", "GPT-2 XL", "1.6B parameters, 48 layers", 7),
        ("distilgpt2", "DistilGPT-2", "82M parameters, 6 layers", 1),
    )
)


@dataclass(frozen=True)
class PublishedFile:
    """A file of a release as it is published, and whether this machine has it."""

    name: str
    size: int  # bytes, about
    address: str
    is_here: bool  # whole
    bytes_here: int  # of a file of its name


@dataclass(frozen=True)
class Delivery:
    """What it takes to bring a release to this machine, by a download or by hand."""

    folder: Path  # where the files go
    free: int  # bytes left on its disk
    files: tuple[PublishedFile, ...]


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run. It is shared between threads: nothing may write to it."""

    entry: Entry
    card: ModelCard
    gpt: GPT
    encoder: Encoder
    seconds: float  # that loading took


def catalogue() -> dict[str, Entry]:
    """Every model that can be chosen by name, the default first. Local folders are those of the
    directory that the environment variable PATCHBOARD_MODELS names, as `local/<folder>`."""
    entries = [TEACHING, *_RELEASED]
    if directory := os.environ.get(FOLDERS_VARIABLE):
        entries += [
            _local(f"local/{folder.name}", folder)
            for folder in sorted(Path(directory).glob("*/"))
            if os.path.isfile(folder / "config.json")
        ]
    return {entry.name: entry for entry in entries}


def table() -> str:
    """The catalogue: name, state on this machine, what it is."""
    lines = [f"{'name':<14} {'on this machine':<26} what it is"]
    for entry in (catalogue() | {entry.name: entry for entry in repositories()}).values():
        missing = entry.missing_bytes / 1e6
        state = f"{entry.state}, {missing:,.0f} MB to come" if missing else entry.state
        lines.append(f"{entry.name:<14} {state:<26} {entry.about}")
    return "\n".join(lines)


def repositories() -> list[Entry]:
    """Repositories of the hub that this machine has, in whole or in part: of each its main revision
    or, where it is not here, the last."""
    releases = {release.repo for release in hub.MODELS.values()}
    last = {kept.repo: kept.name for kept in hub.kept() if kept.repo not in releases}
    return [_repository(name) for name in last.values()]


def offers_repositories() -> bool:
    """Whether the app offers any repository of the hub."""
    return os.environ.get(HUB_VARIABLE, "").lower() in ("1", "on", "yes", "true")


def hub_site() -> str:
    """Which site is the hub, as messages may show it."""
    return hub.asks()


def named(name: str) -> Entry:
    """What the app means by a model: the catalogue's entry, that of a checkpoint or, where they are
    offered, of a repository. Raises UserError if there is none of that name."""
    entries = catalogue()
    if name in entries:
        return entries[name]
    of, _, moment = name.partition("@")
    if moment and of in hub.MODELS:
        raise UserError(
            f"{entries[of].title} is one commit here. Another revision of its repository is called"
            f" {hub.MODELS[of].repo}@{moment}.",
            "model",
        )
    if moment and of in entries:
        return _checkpoint(entries[of], moment)
    if _could_be_a_repository(name):
        if offers_repositories():
            return _repository(name)
        raise UserError(
            f"{name!r} would be a repository of the hub, and this server does not offer those: who"
            f" starts it can, with {HUB_VARIABLE}=1.",
            "model",
        )
    raise UserError(
        f"There is no model {name!r}: choose {', '.join(entries)}, or, on the command line,"
        " a repository of the hub, owner/name or owner/name@revision, or the path of a folder with"
        " config.json, model.safetensors and its tokenizer's files.",
        "model",
    )


def _could_be_a_repository(name: str) -> bool:
    """By its form, so that what was meant for one is told what is wrong with it."""
    owner, slash, rest = name.partition("@")[0].partition("/")
    return bool(slash and "/" not in rest) and owner not in ("", ".", "..", "~", "local")


def _repository(name: str) -> Entry:
    try:
        release, config = hub.release(name), hub.locate_config(name)
    except hub.HubError as error:
        raise UserError(str(error), "model") from error
    about, memory = "A repository of the hub.", 0
    if release:
        about = f"A repository of the hub, at commit {release.revision[:7]}."
    with suppress(CheckpointError):
        if config:
            sizes = read_config(config)
            memory = _memory(**sizes)
            about = f"{about[:-1]}: {sizes['n_layer']} layers of width {sizes['n_embd']}."
    return Entry(name, name, about, memory=memory)


def _memory(n_layer: int, n_embd: int, vocab_size: int, block_size: int, **_) -> int:
    """Bytes that a model takes when it is loaded, about: four a parameter, and half a gigabyte for
    the program."""
    parameters = n_embd * (vocab_size + block_size + n_layer * (12 * n_embd + 13) + 2)
    return 4 * parameters + 5 * 10**8


def revisions_here(entry: Entry) -> list[str]:
    """The names of a repository's revisions that can be loaded without a download, in order."""
    kept = hub.kept(entry.of.repo)
    return in_order(revision.name for revision in kept if hub.locate(revision.name))


def same_weights(entry: Entry, cards: Mapping[str, ModelCard]) -> list[str]:
    """The names of the revisions on this machine that have the weights of one of their repository:
    the same files, as the hub says, or the same fingerprint, of those whose card is known."""
    own, card = hub.release(entry.name), cards.get(entry.name)
    found = []
    for name in (of.name for of in hub.kept(entry.of.repo) if of != entry.of):
        its, its_card = hub.release(name), cards.get(name)
        are_files = bool(own and its and own.weights) and own.weights == its.weights
        if are_files or (card and its_card and card.fingerprint == its_card.fingerprint):
            found.append(name)
    return found


def in_order(revisions: Iterable[str]) -> list[str]:
    """The names of revisions as models, in the order of the numbers in them, the main one last."""
    return sorted(revisions, key=lambda name: order_of(hub.repository_of(name).revision))


def revisions(entry: Entry) -> dict[str, str]:
    """The names of a repository's revisions, as models, and the commit of each: asks the hub.
    Raises UserError."""
    try:
        found = hub.revisions(entry.name)
    except hub.HubError as error:
        raise UserError(str(error), "model") from error
    return {replace(entry.of, revision=r).name: commit for r, commit in found.items()}


def checkpoints(entry: Entry) -> tuple[Checkpoint, ...]:
    """Those along the training of a model that this machine has, by seed and step, and the one that
    is the model itself; none of most models."""
    return history.shipped() if entry.folder == TEACHING.folder else ()


def at_checkpoint(name: str, step: int | None = None, seed: int | None = None) -> str:
    """The name of a model after a step of the training run of a seed: by default after the last
    step, of the first seed. Raises UserError if there is no such checkpoint."""
    entry = find(name)
    there = checkpoints(entry)
    if not there:
        raise UserError(f"{entry.title} has no checkpoints; only the teaching model has.", "model")
    end = entry.checkpoint or history.end(there)
    wanted = Checkpoint(
        end.seed if seed is None else seed,
        end.step if step is None else step,
    )
    if wanted not in there:
        seeds = sorted({checkpoint.seed for checkpoint in there})
        steps = sorted({checkpoint.step for checkpoint in there})
        raise UserError(
            f"{entry.title} has no checkpoint of seed {wanted.seed} after step {wanted.step}:"
            f" choose the seed {_either(seeds)} and the step {_either(steps)}.",
            "model",
        )
    if wanted == history.end(there):
        return entry.base
    return f"{entry.base}@{wanted.name}"


def _checkpoint(entry: Entry, moment: str) -> Entry:
    try:
        checkpoint = Checkpoint.named(moment)
    except ValueError:
        raise UserError(
            f"A checkpoint of {entry.title} is called {entry.name}@seed0-step700, or alike, not"
            f" {entry.name}@{moment}.",
            "model",
        ) from None
    seed, step = checkpoint.seed, checkpoint.step
    name = at_checkpoint(entry.name, step, seed)
    if name == entry.name:
        return entry
    title = f"{entry.title}, seed {seed}, step {step:,}"
    return replace(entry, name=name, title=title, checkpoint=checkpoint)


def _either(numbers: list[int]) -> str:
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last


def preferred() -> Entry:
    """What to begin with: GPT-2 small if it is on this machine, else the teaching model."""
    gpt2 = named("gpt2")
    return gpt2 if gpt2.location else TEACHING


def find(name: str) -> Entry:
    """What a command line means by a model: a name of the catalogue, the path of a folder, or a
    repository of the hub. Raises UserError for none of them."""
    if name and name not in catalogue() and os.path.isdir(name):
        return _local(name, Path(name))
    if name not in catalogue() and _could_be_a_repository(name):
        return _repository(name)
    return named(name)


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


def delivery(entry: Entry) -> Delivery:
    """What it takes to bring a model here; no files while the hub has not been asked which there
    are. Raises UserError where they could not be put."""
    try:
        folder = hub.folder(entry.name)
    except hub.HubError as error:
        raise UserError(str(error), "model") from error
    release = entry.release
    files = []
    for file in release.files if release else ():
        path, bytes_here = folder / file.name, 0
        with suppress(OSError):
            bytes_here = path.stat().st_size
        is_here = file.is_in(folder)
        address = release.address(file)
        files.append(PublishedFile(file.name, file.size, address, is_here, bytes_here))
    return Delivery(folder, hub.free_space(folder), tuple(files))


def ask(entry: Entry) -> Entry:
    """Ask the hub which files a model has, if it has not been asked yet, and see from its
    configuration alone whether it can be loaded. Gives the entry that knows. Raises UserError."""
    try:
        hub.resolve(entry.name)
    except hub.HubError as error:
        raise UserError(f"{error} The teaching model needs no download.", "model") from error
    if refusal := entry.refusal:
        raise UserError(f"{refusal} Its weights were not downloaded.", "model")
    return _repository(entry.name) if entry.is_repository else entry


def announced(entry: Entry) -> str:
    """What a download takes that is about to begin."""
    needs, release = delivery(entry), entry.release
    commit = f", commit {release.revision}," if release and release.is_pinned else ""
    return (
        f"{entry.title}{commit} is not on this machine: downloading"
        f" {entry.missing_bytes / 1e6:,.0f} MB to {needs.folder} ({needs.free / 1e9:,.1f} GB free)."
        f" It takes {entry.memory / 1e9:,.0f} GB of memory."
    )


def download(entry: Entry, on_progress: hub.OnProgress | None = None) -> Path:
    """The folder with a model's files, downloaded if they are not on this machine yet.

    `on_progress` is called a few times a second; what it raises cancels the download, which a
    later call resumes. Raises UserError if the files cannot be had, or, before that, if their
    configuration tells that they are no model.
    """
    if here := entry.location:
        return here
    ask(entry)
    try:
        return hub.fetch(entry.name, on_progress)
    except hub.HubError as error:
        raise UserError(f"{error} The teaching model needs no download.", "model") from error


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
    try:
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


def _local(name: str, folder: Path) -> Entry:
    try:
        about = "A local folder: {n_layer} layers of width {n_embd}.".format(**read_config(folder))
    except CheckpointError as error:
        about = str(error)
    return Entry(name, name, about, folder)
