"""Models of the hub: which files there are, where they are, and fetching them.

A model is one of OpenAI's releases, whose files are known, or any repository, `owner/name` or
`owner/name@revision`, of which the hub is asked once: `resolve` keeps what it says, so that the
revision stays the commit it was, and can be loaded offline.

Files are looked for in our own cache, then in Hugging Face's. When somebody calls `fetch`, what
lies elsewhere is linked into ours and the rest is downloaded into it. This module reads the
environment (PATCHBOARD_CACHE, and HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN
as Hugging Face's own tools do) and draws nothing; how one file is downloaded is the business of
`mingpt.download`, how repositories are named and what makes a model that of `mingpt.repository`,
and what is in the files that of `mingpt.checkpoint` and `mingpt.bpe`.
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
from urllib.parse import unquote

from mingpt import repository
from mingpt.download import DownloadError, File, Refused, ask, download, site
from mingpt.repository import ENDPOINT, HubError, Named, Release

TOKENIZER_FILES = ("vocab.json", "merges.txt")  # the same bytes for all four sizes


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
        checksum="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    )
    merges = File(
        "merges.txt",
        456_318,
        checksum="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    )
    return Release(f"openai-community/{name}", revision, (config, vocabulary, merges, weights))


MODELS = {
    "gpt2": _release(
        "gpt2",
        revision="607a30d783dfa663caf39e06633721c8d4cfcd7e",
        config=File(
            "config.json",
            665,
            checksum="0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
        ),
        weights=File(
            "model.safetensors",
            548_105_171,
            checksum="248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
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
    "distilgpt2": Release(  # of no commit that we know: about how large its files are
        "distilbert/distilgpt2",
        repository.MAIN,
        (
            File("config.json", 762),
            File("vocab.json", 1_042_301),
            File("merges.txt", 456_318),
            File("model.safetensors", 352_824_413),
        ),
    ),
}


def fetch(name: str, on_progress: OnProgress | None = None) -> Path:
    """A folder with a model's configuration, weights and tokenizer, as they are on the hub: found
    on this machine, else made of what is here and a download of the rest. `name` is one of MODELS
    or that of a repository, of which the hub is asked first, if it has not been yet.

    `on_progress` is called some five times a second while downloading or waiting. To cancel,
    raise anything in it: that passes through, and a later call goes on from where this one
    stopped. Raises HubError.
    """
    if found := locate(name):
        return found
    known = release(name)
    if not (known and known.is_pinned):
        known = _ask_about(name)
    return _complete(name, name, known.files, on_progress)


def fetch_tokenizer() -> Path:
    """A folder with GPT-2's `vocab.json` and `merges.txt`: found on this machine, else downloaded
    (1.5 MB). Raises HubError."""
    found = locate_tokenizer()
    return found or _complete("GPT-2's tokenizer", "gpt2", _tokenizer_files("gpt2"), None)


def resolve(name: str) -> Path:
    """Ask the hub, once, which commit a revision is and which files make the model: from then on
    `release` knows. Gives a folder with its `config.json`. Raises HubError."""
    known = release(name)
    if not (known and known.is_pinned):
        known = _ask_about(name)
    return locate_config(name) or _complete(name, name, _config_of(known), None)


def repository_of(name: str) -> Named:
    """The repository and the revision that a name of MODELS or of a repository stands for. Raises
    HubError for what is no name."""
    if name in MODELS:
        return Named(MODELS[name].repo, MODELS[name].revision)
    if "/" not in name:
        raise HubError(
            f"no model is called {name!r}: choose one of {', '.join(MODELS)}, or name a repository,"
            " owner/name."
        )
    return repository.named(name)


def release(name: str) -> Release | None:
    """Which files a model has, as far as that is known without asking; None: not at all. Raises
    HubError for what is no name."""
    known = MODELS.get(name)
    if known and known.is_pinned:
        return known
    of = repository_of(name)
    with suppress(HubError):
        if kept := repository.read_record(_record(of), of):
            return kept
    old = (name,) if name in MODELS else ()
    return _of_a_snapshot(of, of.folder, *old) or known


def revisions(name: str) -> dict[str, str]:
    """The branches and tags of a repository and the commit of each, as the hub says now. Raises
    HubError."""
    of = repository_of(name)
    return repository.branches_and_tags(_answer(of, "refs"))


def kept(repo: str | None = None) -> list[Named]:
    """The repositories, or one's revisions, of which this machine knows which commit they are."""
    found = []
    with suppress(HubError):
        folder = Named(repo).folder if repo else "*--*"
        for path in cache_folder().glob(f"{folder}/*.json"):
            with suppress(HubError):
                of = repository.named(f"{path.parent.name.replace('--', '/')}@{unquote(path.stem)}")
                if repository.read_record(path, of):
                    found.append(of)
    return sorted(found, key=lambda of: (of.repo, repository.in_order(of.revision)))


def locate(name: str) -> Path | None:
    """The folder on this machine that holds all files of a model, if there is one. Needs no
    network. Raises HubError for what is no name."""
    known = release(name)
    return _first_with(known.files, _places(name)) if known else None


def locate_config(name: str) -> Path | None:
    """A folder on this machine with a model's `config.json`, if there is one. Raises HubError for
    what is no name."""
    known = release(name)
    return _first_with(_config_of(known), _places(name)) if known else None


def locate_tokenizer() -> Path | None:
    """The folder on this machine that holds GPT-2's tokenizer, if there is one."""
    pinned = [name for name, release in MODELS.items() if release.is_pinned]
    found = (_first_with(_tokenizer_files(name), _places(name)) for name in pinned)
    return next(filter(None, found), None)


def state(name: str) -> State:
    """What this machine has of a model, file by file, wherever they lie; the tokenizer's alone,
    which any model brings, and what `resolve` has looked at are no part of it yet. Raises HubError
    for what is no name."""
    known = release(name)
    if known is None:
        return State("absent", 0)
    if locate(name):
        return State("ready", known.download_bytes)
    here = {file.name: _bytes_here(file, name) for file in known.files}
    has_some = any(here[file] for file in here.keys() - _seen_first(name))
    return State("partial" if has_some else "absent", sum(here.values()))


def folder(name: str) -> Path:
    """Where in our cache the files of a model go. Raises HubError."""
    known = release(name)
    if name in MODELS and (MODELS[name].is_pinned or not known.is_pinned):
        return cache_folder() / name
    of = repository_of(name)
    return cache_folder() / of.folder / (known.revision if known else of.in_addresses)


def asks() -> str:
    """Which site is asked, as messages may show it."""
    return site(_endpoint())


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


def _record(of: Named) -> Path:
    """Where it is kept which commit a revision is."""
    return cache_folder() / of.folder / f"{of.in_addresses}.json"


def _of_a_snapshot(of: Named, *called: str) -> Release | None:
    """The files of a revision as Hugging Face's tools have fetched it, if they make a model; its
    repository may be `called` differently there."""
    for name in called:
        with suppress(HubError, OSError):
            cache = _hugging_face_cache() / f"models--{name}"
            commit = _commit_of(cache, of.revision) or of.revision
            found = Release(of.repo, commit, _model_in(cache / "snapshots" / commit))
            if found.is_pinned:
                return found
    return None


def _model_in(snapshot: Path) -> tuple[File, ...]:
    paths = [path for path in snapshot.iterdir() if path.is_file()]
    there = {path.name: File(path.name, path.stat().st_size) for path in paths}
    return repository.needed(there, lambda f: (snapshot / f.name).read_bytes(), str(snapshot))


def _config_of(known: Release) -> list[File]:
    return [file for file in known.files if file.name == repository.CONFIG]


def _tokenizer_files(name: str) -> list[File]:
    return [file for file in MODELS[name].files if file.name in TOKENIZER_FILES]


def _first_with(files: Sequence[File], folders: Iterator[Path]) -> Path | None:
    return next((folder for folder in folders if all(f.is_in(folder) for f in files)), None)


def _places(name: str) -> Iterator[Path]:
    """Folders that may hold a model: our own, then snapshots in Hugging Face's cache.

    There the models of MODELS are also known by their old names, without an owner. Of OpenAI's
    releases a snapshot of our revision is preferred to the one that Hugging Face's tools would
    take; of other repositories a revision is one commit and nothing else.
    """
    known = release(name)
    with suppress(HubError):
        if name in MODELS:
            yield cache_folder() / name  # also where files are brought to by hand
        if known and (own := folder(name)) != cache_folder() / name:
            yield own
    if known is None:
        return
    repos = []
    with suppress(HubError):
        cache = _hugging_face_cache()
        names = (known.repo, name) if name in MODELS else (known.repo,)
        repos = [cache / f"models--{repo.replace('/', '--')}" for repo in names]
    for repo in repos:
        yield repo / "snapshots" / known.revision
    if name in MODELS and MODELS[name].is_pinned:
        for repo in repos:
            if revision := _commit_of(repo, repository.MAIN):
                yield repo / "snapshots" / revision


def _paths_of(file: File, name: str) -> Iterator[Path]:
    """Where a file of a model may be: in its own folders, or wherever the same bytes are known to
    be, which the revisions of a repository share."""
    for place in _places(name):
        if file.is_in(place):
            yield place / file.name
    if not file.checksum:
        return
    for other in (*MODELS, *(of.name for of in kept(release(name).repo))):
        for same in release(other).files:
            if same.checksum == file.checksum:
                yield from (place / same.name for place in _places(other) if same.is_in(place))


def _seen_first(name: str) -> set[str]:
    """The files whose being here does not mean that a download was begun."""
    looked_at = {repository.CONFIG, *repository.WEIGHTS[1::2]}
    return set(TOKENIZER_FILES) | (set() if name in MODELS else looked_at)


def _bytes_here(file: File, name: str) -> int:
    if path := next(_paths_of(file, name), None):
        return path.stat().st_size
    return max((file.bytes_in(place) for place in _places(name)), default=0)


def _hugging_face_cache() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or Path(caches, "huggingface")
    return _expanded(os.environ.get("HF_HUB_CACHE") or Path(home, "hub"))


def _commit_of(repo: Path, revision: str) -> str | None:
    """Which commit a revision is in Hugging Face's cache of a repository."""
    try:
        return (repo / "refs" / revision).read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def _complete(what: str, name: str, files: Sequence[File], on_progress: OnProgress | None) -> Path:
    """Our cache's folder of model `name` with all of `files`, those that lie elsewhere as links and
    the others downloaded; `what` is what errors call them."""
    into = folder(name)
    for file in files:
        if not file.is_in(into) and (path := next(_paths_of(file, name), None)):
            _link(path, into / file.name)
    if not all(file.is_in(into) for file in files):
        _download(what, release(name), into, files, on_progress)
    return into


def _ask_about(name: str) -> Release:
    """Ask the hub which commit a revision is and which files make the model, and keep that."""
    of = repository_of(name)
    answer = _answer(of, f"revision/{of.in_addresses}?blobs=true")
    commit, files = repository.listed(answer)
    into = cache_folder() / of.folder

    def read(file: File) -> bytes:
        _download(name, Release(of.repo, commit, (file,)), into / commit, [file], None)
        return (into / commit / file.name).read_bytes()

    found = Release(of.repo, commit, repository.needed(files, read, of.repo))
    try:
        into.mkdir(parents=True, exist_ok=True)
        repository.write_record(_record(of), of, found)
    except OSError as error:
        raise HubError(
            f"{into} could not be written ({error.strerror or error}). Make the folder writable, or"
            " set PATCHBOARD_CACHE to one that is."
        ) from error
    return found


def _answer(of: Named, question: str) -> object:
    """What the hub says about a repository. Raises HubError."""
    token = _token(of.name)
    try:
        return ask(f"{_endpoint()}/api/models/{of.repo}/{question}", token)
    except DownloadError as error:
        raise HubError(_in_words(of, error, bool(token))) from error


def _in_words(of: Named, error: DownloadError, with_token: bool) -> str:
    """Why a repository could not be had, and the fix."""
    if not isinstance(error, Refused) or error.code == "EntryNotFound":
        return f"{of.name} could not be had: {error}"
    status = f"(HTTP {error.status})"
    if error.code == "GatedRepo":
        return (
            f"{of.repo} is gated {status}: accept its conditions at {asks()}/{of.repo} and set"
            " HF_TOKEN to a token of the account that did."
        )
    if error.code == "RevisionNotFound":
        return f"{of.repo} has no revision {of.revision!r} {status}: name one of its own."
    fix = "HF_TOKEN is set: renew it, or unset it" if with_token else "set HF_TOKEN to a token"
    return (
        f"{asks()} has no repository {of.repo} that everybody may read {status}. Check its"
        f" name; if it is private or gated, {fix}, of an account that may read it."
    )


def _endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def _token(what: str) -> str | None:
    """The token to send to the hub, if there is one. Raises HubError where nothing may be sent."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise HubError(
            f"{what} is not on this machine, and HF_HUB_OFFLINE forbids downloading it. Unset"
            " HF_HUB_OFFLINE and try again."
        )
    token = os.environ.get("HF_TOKEN", "").strip() or None
    if token and not (token.isascii() and token.isprintable()):
        raise HubError(
            f"{what} is not on this machine, and HF_TOKEN has characters that no token has: copy it"
            " again, or unset it."
        )
    return token


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


def _download(
    what: str,
    release: Release,
    into: Path,
    files: Sequence[File],
    on_progress: OnProgress | None,
) -> None:
    """Fetch those of `files` that the folder `into` lacks."""
    token = _token(what)
    meter = _Meter(on_progress)
    before = 0  # bytes of the files that are here already
    for index, file in enumerate(files):
        after = sum(later.size for later in files[index + 1 :])
        report = partial(meter.read, before, file.size, after)
        try:
            download(release.address(file, _endpoint()), into, file, report, token)
        except DownloadError as error:
            if isinstance(error, Refused) and error.code:
                of = Named(release.repo, release.revision)
                raise HubError(_in_words(of, error, bool(token))) from error
            raise HubError(
                f"{what} is not on this machine and could not be downloaded: {error}"
            ) from error
        before += file.bytes_in(into)


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
