"""The catalogue: which models there are, by which names, and what is known of each before it is
loaded.

A model is the bundled teaching model, one of the released GPT-2s, a local folder in Hugging
Face's layout, or any repository of the hub, `owner/name` or `owner/name@revision`. A checkpoint on
the way of the teaching model's training is a model of its own, called `teaching@seed0-step700`.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from core import teaching
from core.errors import UserError
from core.result import ModelCard
from core.teaching import history
from core.teaching.history import Checkpoint
from mingpt import hub
from mingpt.checkpoint import CheckpointError, read_config
from mingpt.repository import in_order as order_of
from mingpt.settings import parameters

# A directory whose subfolders the app offers as models; set by whoever starts the server.
FOLDERS_VARIABLE = "PATCHBOARD_MODELS"

# Whether the app offers any repository of the hub, as the command line does; set like the other.
HUB_VARIABLE = "PATCHBOARD_HUB"

_LOGGER = logging.getLogger(__name__)


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


def catalogue() -> dict[str, Entry]:
    """Every model that can be chosen by name, the default first. Local folders are those of the
    directory that the environment variable PATCHBOARD_MODELS names, as `local/<folder>`."""
    entries = [TEACHING, *_RELEASED, *_locals()]
    return {entry.name: entry for entry in entries}


def _locals() -> Iterator[Entry]:
    """The subfolders of the directory that hold a config.json, whatever that may be. What cannot be
    offered is left out, with a line in the log."""
    directory = os.environ.get(FOLDERS_VARIABLE)
    if not directory:
        return
    directory = os.path.expanduser(directory)
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        _log(f"{FOLDERS_VARIABLE}: {directory} cannot be listed: {error.strerror}.")
        return
    for name in names:
        folder = Path(directory, name)
        if not name.isprintable():  # nor is a byte that is no UTF-8
            _log(f"{FOLDERS_VARIABLE}: {str(folder)!a} is left out: rename it.")
            continue
        try:
            (folder / "config.json").lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problem = f"{folder} cannot be read: {error.strerror}."
            yield Entry(f"local/{name}", f"local/{name}", problem, folder)
            continue
        yield _local(f"local/{name}", folder)


@lru_cache(maxsize=1000)
def _log(message: str) -> None:
    """Once, though the catalogue is asked for at every click."""
    _LOGGER.warning("%s", message)


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
    return [repository(name) for name in last.values()]


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
            return repository(name)
        raise UserError(
            f"{name!r} would be a repository of the hub, and this server does not offer those: who"
            f" starts it can, with {HUB_VARIABLE}=1.",
            "model",
        )
    raise UserError(
        f"There is no model {name[:200]!r}: choose {', '.join(entries)}, or, on the command line,"
        " a repository of the hub, owner/name or owner/name@revision, or the path of a folder with"
        " config.json, model.safetensors and its tokenizer's files.",
        "model",
    )


def _could_be_a_repository(name: str) -> bool:
    """By its form, so that what was meant for one is told what is wrong with it."""
    owner, slash, rest = name.partition("@")[0].partition("/")
    return bool(slash and "/" not in rest) and owner not in ("", ".", "..", "~", "local")


def repository(name: str) -> Entry:
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
            memory = _memory(sizes)
            about = f"{about[:-1]}: {sizes['n_layer']} layers of width {sizes['n_embd']}."
    return Entry(name, name, about, memory=memory)


def _memory(sizes: Mapping) -> int:
    """Bytes that a model takes when it is loaded, about: four a parameter, and half a gigabyte for
    the program."""
    return 4 * parameters(**sizes) + 5 * 10**8


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
        return repository(name)
    return named(name)


def _local(name: str, folder: Path) -> Entry:
    try:
        about = "A local folder: {n_layer} layers of width {n_embd}.".format(**read_config(folder))
    except CheckpointError as error:
        about = str(error)
    return Entry(name, name, about, folder)
