"""OpenAI's GPT-2 weights and tokenizer: which files there are, where they are, and fetching them.

They are looked for in our own cache, then in Hugging Face's. When somebody calls `fetch`, what lies
elsewhere is linked into ours and the rest is downloaded into it. This module reads the environment
(PATCHBOARD_CACHE, and HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN as Hugging
Face's own tools do) and draws nothing; how one file is downloaded is the business of
`mingpt.download`, and what is in the files that of `mingpt.checkpoint` and `mingpt.bpe`.
"""

import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Literal

from mingpt.download import DownloadError, File, download

ENDPOINT = "https://huggingface.co"
TOKENIZER_FILES = ("vocab.json", "merges.txt")  # the same bytes for all four sizes


class HubError(RuntimeError):
    """A model is unknown or could not be had; the text says why and what to do about it."""


@dataclass(frozen=True)
class Release:
    """A model on the hub, and the files we need of it, the large one last."""

    repo: str
    revision: str
    files: tuple[File, ...]

    @property
    def download_bytes(self) -> int:
        """What a download of all files takes; about right (see `File.size`)."""
        return sum(file.size for file in self.files)

    def address(self, file: File, endpoint: str = ENDPOINT) -> str:
        """Where a file is on the hub."""
        return f"{endpoint}/{self.repo}/resolve/{self.revision}/{file.name}"


@dataclass(frozen=True)
class Progress:
    """How far a download is. `total` may be about right only until the hub has named the size."""

    done: int  # bytes
    total: int  # bytes
    rate: float  # bytes per second, over the last few seconds
    seconds_left: float | None  # None while nothing arrives


@dataclass(frozen=True)
class State:
    """What this machine has of a model: all of it, some of it, or nothing."""

    status: Literal["ready", "partial", "absent"]
    bytes_here: int


OnProgress = Callable[[Progress], None]


def _release(name: str, revision: str, config: File, weights: File) -> Release:
    vocabulary = File(
        "vocab.json",
        1_042_301,
        sha256="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    )
    merges = File(
        "merges.txt",
        456_318,
        sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    )
    return Release(f"openai-community/{name}", revision, (config, vocabulary, merges, weights))


MODELS = {
    "gpt2": _release(
        "gpt2",
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        config=File(
            "config.json",
            665,
            sha256="0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        ),
        weights=File(
            "model.safetensors",
            548_105_171,
            sha256="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
        ),
    ),
    "gpt2-medium": _release(
        "gpt2-medium",
        revision="6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        config=File("config.json", 718),
        weights=File("model.safetensors", 1_519_984_962),
    ),
    "gpt2-large": _release(
        "gpt2-large",
        revision="32b71b12589c2f8d625668d2335a01cac3249519",
        config=File("config.json", 666),
        weights=File("model.safetensors", 3_247_159_078),
    ),
    "gpt2-xl": _release(
        "gpt2-xl",
        revision="15ea56dee5df4983c59b2538573817e1667135e2",
        config=File("config.json", 689),
        weights=File("model.safetensors", 6_431_829_964),
    ),
}


def fetch(name: str, on_progress: OnProgress | None = None) -> Path:
    """A folder with the `config.json`, `model.safetensors`, `vocab.json` and `merges.txt` of a
    model of MODELS: found on this machine, else made of what is here and a download of the rest.

    `on_progress` is called some five times a second while downloading or waiting. To cancel,
    raise anything in it: that passes through, and a later call goes on from where this one
    stopped. Raises HubError.
    """
    found = locate(name)
    return found or _complete(name, name, MODELS[name].files, on_progress)


def fetch_tokenizer() -> Path:
    """A folder with GPT-2's `vocab.json` and `merges.txt`: found on this machine, else downloaded
    (1.5 MB). Raises HubError."""
    found = locate_tokenizer()
    return found or _complete("GPT-2's tokenizer", "gpt2", _tokenizer_files("gpt2"), None)


def locate(name: str) -> Path | None:
    """The folder on this machine that holds all files of a model, if there is one. Needs no
    network. Raises HubError for a name that is not in MODELS."""
    if name not in MODELS:
        raise HubError(f"no model is called {name!r}: choose one of {', '.join(MODELS)}.")
    return _first_with(MODELS[name].files, _places(name))


def locate_tokenizer() -> Path | None:
    """The folder on this machine that holds GPT-2's tokenizer, if there is one."""
    found = (_first_with(_tokenizer_files(name), _places(name)) for name in MODELS)
    return next(filter(None, found), None)


def state(name: str) -> State:
    """What this machine has of a model, file by file, wherever they lie; the tokenizer's alone,
    which any model brings, are no part of it yet. Raises HubError for a name not in MODELS."""
    if locate(name):
        return State("ready", MODELS[name].download_bytes)
    here = {
        file.name: max((file.bytes_in(folder) for folder in _places_of(file, name)), default=0)
        for file in MODELS[name].files
    }
    has_some = any(here[file] for file in here.keys() - set(TOKENIZER_FILES))
    return State("partial" if has_some else "absent", sum(here.values()))


def cache_folder() -> Path:
    """Where downloads go, a folder for each model: PATCHBOARD_CACHE, else the system's place.
    Raises HubError if that is in the home folder of a user who has none."""
    if own := os.environ.get("PATCHBOARD_CACHE"):
        return _expanded(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return _expanded(caches) / "patchboard"
    if sys.platform == "win32":
        return _expanded(os.environ.get("LOCALAPPDATA") or "~/AppData/Local") / "patchboard"
    if sys.platform == "darwin":
        return _expanded("~/Library/Caches/patchboard")
    return _expanded("~/.cache/patchboard")


def free_space(folder: Path) -> int:
    """Bytes left on the disk of a folder, which need not be there yet."""
    there = next(
        place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()
    )
    return shutil.disk_usage(there).free


def _expanded(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise HubError(
            f"there is no home folder to put in for the ~ of {path}: set PATCHBOARD_CACHE to a"
            " folder for downloaded models."
        ) from None


def _tokenizer_files(name: str) -> list[File]:
    return [file for file in MODELS[name].files if file.name in TOKENIZER_FILES]


def _first_with(files: Sequence[File], folders: Iterator[Path]) -> Path | None:
    return next((folder for folder in folders if all(f.is_in(folder) for f in files)), None)


def _places(name: str) -> Iterator[Path]:
    """Folders that may hold a model: our own, then snapshots in Hugging Face's cache.

    There the models are also known by their old names, without "openai-community". A snapshot of
    our revision is preferred to the one that Hugging Face's tools would take.
    """
    with suppress(HubError):
        yield cache_folder() / name
    release, repos = MODELS[name], []
    with suppress(HubError):
        cache = _hugging_face_cache()
        repos = [cache / f"models--{repo.replace('/', '--')}" for repo in (release.repo, name)]
    for repo in repos:
        yield repo / "snapshots" / release.revision
    for repo in repos:
        if revision := _main_revision(repo):
            yield repo / "snapshots" / revision


def _places_of(file: File, name: str) -> Iterator[Path]:
    """Folders that may hold a file of a model: for the tokenizer's, those of all models."""
    for model in dict.fromkeys((name, *(MODELS if file.name in TOKENIZER_FILES else ()))):
        yield from _places(model)


def _hugging_face_cache() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or Path(caches, "huggingface")
    return _expanded(os.environ.get("HF_HUB_CACHE") or Path(home, "hub"))


def _main_revision(repo: Path) -> str | None:
    try:
        return (repo / "refs" / "main").read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def _complete(what: str, name: str, files: Sequence[File], on_progress: OnProgress | None) -> Path:
    """Our cache's folder of model `name` with all of `files`, those that lie elsewhere as links and
    the others downloaded; `what` is what errors call them."""
    folder = cache_folder() / name
    for file in files:
        if not file.is_in(folder) and (place := _first_with([file], _places_of(file, name))):
            _link(place / file.name, folder / file.name)
    if not all(file.is_in(folder) for file in files):
        _download(what, name, files, on_progress)
    return folder


def _link(source: Path, target: Path) -> None:
    """Make `target` a link to the file `source`, or a copy where the system has no links. Where
    nothing can be written there will be none: the download that follows says why."""
    made = target.with_name(f"{target.name}.{os.urandom(4).hex()}.link")
    for make in (os.symlink, os.link, shutil.copyfile):
        with suppress(OSError, NotImplementedError):
            target.parent.mkdir(parents=True, exist_ok=True)
            make(source.resolve(), made)
            made.replace(target)
            return
        with suppress(OSError):
            made.unlink(missing_ok=True)


def _download(what: str, name: str, files: Sequence[File], on_progress: OnProgress | None) -> None:
    """Fetch those of `files` that our cache's folder of model `name` lacks."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise HubError(
            f"{what} is not on this machine, and HF_HUB_OFFLINE forbids downloading it. Unset"
            " HF_HUB_OFFLINE and try again."
        )
    release, folder = MODELS[name], cache_folder() / name
    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    token = os.environ.get("HF_TOKEN", "").strip() or None
    if token and not (token.isascii() and token.isprintable()):
        raise HubError(
            f"{what} is not on this machine, and HF_TOKEN has characters that no token has: copy it"
            " again, or unset it."
        )
    meter = _Meter(on_progress)
    before = 0  # bytes of the files that are here already
    for index, file in enumerate(files):
        after = sum(later.size for later in files[index + 1 :])
        report = partial(meter.read, before, file.size, after)
        try:
            download(release.address(file, endpoint), folder, file, report, token)
        except DownloadError as error:
            raise HubError(
                f"{what} is not on this machine and could not be downloaded: {error}"
            ) from error
        before += file.bytes_in(folder)


class _Meter:
    """Makes Progress, a few times a second, of the byte counts that a download reports."""

    INTERVAL = 0.2  # seconds
    SAMPLES = 25  # the rate is that of the last five seconds

    def __init__(self, on_progress: OnProgress | None):
        self._on_progress = on_progress
        self._samples: deque[tuple[float, int]] = deque(maxlen=self.SAMPLES)  # (seconds, bytes)

    def read(self, before: int, expected: int, after: int, done: int, size: int | None) -> None:
        """`done` of `size` bytes of one file (None: `expected`), between others of `before` and
        `after` bytes."""
        if self._on_progress is None:
            return
        now, done = monotonic(), before + done
        total = max(done, before + (size or expected) + after)
        if self._samples and done < self._samples[-1][1]:  # a file was started over
            self._samples.clear()
        if self._samples and now - self._samples[-1][0] < self.INTERVAL and done < total:
            return
        self._samples.append((now, done))
        first, done_at_first = self._samples[0]
        rate = (done - done_at_first) / (now - first) if now > first else 0.0
        seconds_left = (total - done) / rate if rate else None
        self._on_progress(Progress(done, total, rate, seconds_left))
