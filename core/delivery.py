"""Bringing a model of the hub to this machine: what it takes, and doing it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.catalogue import Entry, repository
from core.errors import UserError
from mingpt import hub


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
    return repository(entry.name) if entry.is_repository else entry


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


def can_fetch_again(entry: Entry) -> bool:
    """Whether a model that cannot be loaded may be better once it is downloaded again."""
    return entry.folder is None and bool(hub.doubtful(entry.name))


def fetch_again(entry: Entry) -> None:
    """Remove what may be damaged of a model, which a download then brings. Raises UserError."""
    try:
        hub.discard(entry.name)
    except hub.HubError as error:
        raise UserError(str(error), "model") from error
