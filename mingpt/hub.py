"""Models of the hub: which files there are, where they are, and fetching them.

A model is one of OpenAI's releases, whose files are known, or any repository, `owner/name` or
`owner/name@revision`, of which the hub is asked once: `resolve` keeps what it says, so that the
revision stays the commit it was, and can be loaded offline.

Files are looked for in our own cache, then in Hugging Face's. When somebody calls `fetch`, what
lies elsewhere is linked into ours and the rest is downloaded into it. This module reads the
environment (HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN as Hugging Face's own tools do) and draws
nothing; where the caches are is the business of `mingpt.places`, how one file is downloaded that of
`mingpt.download`, how repositories are named and what makes a model that of `mingpt.repository`,
and what is in the files that of `mingpt.checkpoint` and `mingpt.bpe`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from mingpt import checked, files, repository
from mingpt.download import DownloadError, File, Refused, ask, download, site
from mingpt.places import cache_folder, commit_of, free_space, hugging_face_cache, link
from mingpt.progress import Meter, OnProgress, Progress
from mingpt.releases import MODELS
from mingpt.repository import ENDPOINT, HubError, Named, Release

__all__ = ["MODELS", "HubError", "Named", "OnProgress", "Progress", "Release", "free_space"]

TOKENIZER_FILES = ("vocab.json", "merges.txt")  # the same bytes for all four sizes


@dataclass(frozen=True)
class State:
    """What this machine has of a model: all of it, some of it, or nothing."""

    status: Literal["ready", "partial", "absent"]
    bytes_here: int


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
    with suppress(HubError, OSError):
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


def damaged(name: str) -> list[Path]:
    """The files of a model in our cache that no longer hold what was downloaded. Raises HubError
    for what is no name."""
    return [path for path, is_now in _checked(name) if is_now == "damaged"]


def doubtful(name: str) -> list[Path]:
    """Those, and the files of which it is not known what they should hold."""
    return [path for path, is_now in _checked(name) if is_now != "good"]


def discard(name: str) -> None:
    """Remove what is doubtful, so that it can be fetched again. Raises HubError."""
    for path in doubtful(name):
        try:
            checked.forget(path)
        except OSError as error:
            raise HubError(f"{path} could not be removed: {error.strerror}.") from error


def _checked(name: str) -> Iterator[tuple[Path, checked.State]]:
    found = locate(name)
    if found and found.is_relative_to(cache_folder()):
        for file in release(name).files:
            with suppress(OSError):  # it was removed meanwhile
                yield found / file.name, checked.state(found / file.name, file.checksum)


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


def _record(of: Named) -> Path:
    """Where it is kept which commit a revision is."""
    return cache_folder() / of.folder / f"{of.in_addresses}.json"


def _of_a_snapshot(of: Named, *called: str) -> Release | None:
    """The files of a revision as Hugging Face's tools have fetched it, if they make a model; its
    repository may be `called` differently there."""
    for name in called:
        with suppress(HubError, OSError, ValueError):
            cache = hugging_face_cache() / f"models--{name}"
            commit = commit_of(cache, of.revision) or of.revision
            found = Release(of.repo, commit, _model_in(cache / "snapshots" / commit))
            if found.is_pinned:
                return found
    return None


def _model_in(snapshot: Path) -> tuple[File, ...]:
    sizes = {path.name: files.size_of(path) for path in snapshot.iterdir()}
    there = {name: File(name, size) for name, size in sizes.items() if size is not None}
    return repository.needed(there, lambda f: files.read(snapshot / f.name), str(snapshot))


def _config_of(known: Release) -> list[File]:
    return [file for file in known.files if file.name == repository.CONFIG]


def _tokenizer_files(name: str) -> list[File]:
    return [file for file in MODELS[name].files if file.name in TOKENIZER_FILES]


def _first_with(wanted: Sequence[File], folders: Iterator[Path]) -> Path | None:
    return next((folder for folder in folders if all(f.is_in(folder) for f in wanted)), None)


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
        cache = hugging_face_cache()
        names = (known.repo, name) if name in MODELS else (known.repo,)
        repos = [cache / f"models--{repo.replace('/', '--')}" for repo in names]
    for repo in repos:
        yield repo / "snapshots" / known.revision
    if name in MODELS and MODELS[name].is_pinned:
        for repo in repos:
            if revision := commit_of(repo, repository.MAIN):
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
        return files.size_of(path) or 0
    return max((file.bytes_in(place) for place in _places(name)), default=0)


def _complete(what: str, name: str, wanted: Sequence[File], on_progress: OnProgress | None) -> Path:
    """Our cache's folder of model `name` with all files `wanted`, those that lie elsewhere as links
    and the others downloaded; `what` is what errors call them."""
    into = folder(name)
    for file in wanted:
        here = () if file.is_in(into) else _paths_of(file, name)
        for path in here:
            link(path, into / file.name)
            if checked.state(into / file.name, file.checksum) != "damaged":
                break
            (into / file.name).unlink()
    if not all(file.is_in(into) for file in wanted):
        _download(what, release(name), into, wanted, on_progress)
    return into


def _ask_about(name: str) -> Release:
    """Ask the hub which commit a revision is and which files make the model, and keep that."""
    of = repository_of(name)
    answer = _answer(of, f"revision/{of.in_addresses}?blobs=true")
    commit, listed = repository.listed(answer)
    into = cache_folder() / of.folder

    def read(file: File) -> bytes:
        _download(name, Release(of.repo, commit, (file,)), into / commit, [file], None)
        return files.read(into / commit / file.name)

    found = Release(of.repo, commit, repository.needed(listed, read, of.repo))
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


def _download(
    what: str,
    release: Release,
    into: Path,
    wanted: Sequence[File],
    on_progress: OnProgress | None,
) -> None:
    """Fetch those of `wanted` that the folder `into` lacks."""
    token = _token(what)
    meter = Meter(on_progress)
    before = 0  # bytes of the files that are here already
    for index, file in enumerate(wanted):
        after = sum(later.size for later in wanted[index + 1 :])
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
