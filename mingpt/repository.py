"""Repositories of the hub: how they are named, which of their files make a model, and what is kept
of what the hub has said about a revision.

Names come from people and from links, listings from a hub, records from a disk: all of them are
held against the rules here before they become a part of an address or of a path. Nothing here asks
a network; that is done by `mingpt.hub`.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from mingpt import files as any_files
from mingpt.part import File
from mingpt.tokenizer_files import FILES

ENDPOINT = "https://huggingface.co"
MAIN = "main"  # the revision of a name that says none
CONFIG = "config.json"
# The layouts of weights, the preferred first, and those of them that name further files.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
WEIGHTS += ("pytorch_model.bin", "pytorch_model.bin.index.json")
_INDEX = ".index.json"
# A tokenizer is all files of one of these; the others say more about it, where they are there.
_TOKENIZERS = (("vocab.json", "merges.txt"), ("tokenizer.json",))

_COMMIT = re.compile("[0-9a-f]{40}")
_CHECKSUM = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_FILE = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PART = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_NEVER_IN_A_NAME = re.compile(r"--|\.\.|\.git$|\.ipynb$")
_LONGEST_NAME = 96
# What git has in no name of a branch or a tag, and what no folder may be called.
_NEVER_IN_A_REVISION = re.compile(r"[\s\\~^:?*\[]|\.\.|@\{|^[/.]|/[/.]|[/.]$|\.lock$")
_LONGEST_REVISION = 200  # characters as a file is called


class HubError(RuntimeError):
    """A model is unknown or could not be had; the text says why and what to do about it."""


@dataclass(frozen=True)
class Release:
    """A model on the hub, and the files we need of it, the large ones last."""

    repo: str
    revision: str
    files: tuple[File, ...]

    @property
    def is_pinned(self) -> bool:
        """Whether it is of one commit, which never changes, and not of a branch or tag."""
        return bool(_COMMIT.fullmatch(self.revision))

    @property
    def download_bytes(self) -> int:
        """What a download of all files takes; about right (see `File.size`)."""
        return sum(file.size for file in self.files)

    @property
    def weights(self) -> tuple[str, ...]:
        """What the files of the weights hold, for comparison; empty where that is not known."""
        large = [f.checksum for f in self.files if f.name.endswith((".safetensors", ".bin"))]
        return tuple(large) if large and all(large) else ()

    def address(self, file: File, endpoint: str = ENDPOINT) -> str:
        """Where a file is on the hub."""
        return f"{endpoint}/{self.repo}/resolve/{self.revision}/{quote(file.name)}"


@dataclass(frozen=True)
class Named:
    """What `owner/name@revision` names."""

    repo: str
    revision: str = MAIN

    @property
    def name(self) -> str:
        return self.repo if self.revision == MAIN else f"{self.repo}@{self.revision}"

    @property
    def in_addresses(self) -> str:
        """The revision as one part of an address, or of a path."""
        return quote(self.revision, safe="")

    @property
    def folder(self) -> str:
        """What the folder of all its revisions is called."""
        return self.repo.replace("/", "--")


def named(name: str) -> Named:
    """What a name of a repository means, `owner/name` or `owner/name@revision`. Raises HubError for
    one that cannot be."""
    repo, at, revision = name.partition("@")
    parts = repo.split("/")
    if (
        len(parts) != 2
        or len(repo) > _LONGEST_NAME
        or not all(_PART.fullmatch(part) and not _NEVER_IN_A_NAME.search(part) for part in parts)
    ):
        raise HubError(
            f"{_short(repo)} is no name of a repository: those are called owner/name, in letters,"
            " digits and single - _ . between them."
        )
    found = Named(repo, revision if at else MAIN)
    if not _could_be(found.revision):
        raise HubError(
            f"{_short(revision)} is no name of a revision of {repo}: give a branch, a tag or a"
            " commit."
        )
    return found


def is_file_name(name: str) -> bool:
    """Whether it names a file beside others and nothing else."""
    return bool(_FILE.fullmatch(name))


def _could_be(revision: str) -> bool:
    """Whether a branch or a tag may be called so."""
    return (
        bool(revision)
        and revision.isprintable()
        and not _NEVER_IN_A_REVISION.search(revision)
        and len(quote(revision, safe="")) <= _LONGEST_REVISION
    )


def listed(answer: object) -> tuple[str, dict[str, File]]:
    """The commit and the files of a revision, by name, out of the hub's answer about it. Raises
    HubError for an answer that is none."""
    try:
        files = {}
        for row in answer["siblings"]:
            if is_file_name(row["rfilename"]):  # those in folders are no part of a model
                large = row.get("lfs")
                size, checksum = row["size"], row["blobId"]
                if large:
                    size, checksum = large["size"], large["sha256"]
                files[row["rfilename"]] = _checked(File(row["rfilename"], size, checksum))
        return _checked_commit(answer["sha"]), files
    except (KeyError, TypeError, AttributeError, ValueError):
        raise HubError(
            "the hub does not say which files there are, with their sizes and checksums. Set"
            " HF_ENDPOINT to a hub that does, or unset it."
        ) from None


def branches_and_tags(answer: object) -> dict[str, str]:
    """Revision -> commit, out of the hub's answer about a repository's: in the order of the numbers
    in their names, `main` last. Raises HubError for an answer that is none."""
    try:
        rows = [*answer["branches"], *answer["tags"]]
        found = {row["name"]: _checked_commit(row["targetCommit"]) for row in rows}
        return {name: found[name] for name in sorted(found, key=in_order) if _could_be(name)}
    except (KeyError, TypeError, AttributeError, ValueError):
        raise HubError("the hub does not say which revisions there are.") from None


def in_order(revision: str) -> tuple:
    """What sorts revisions as people count: step 9 before step 10, and `main`, the result, last."""
    numbers = re.split("([0-9]+)", revision)
    return revision == MAIN, [(not p.isdecimal(), int(p) if p.isdecimal() else p) for p in numbers]


def needed(files: Mapping[str, File], read: Callable[[File], bytes], repo: str) -> tuple[File, ...]:
    """Those of a revision's files that make a model; `read` gives the content of an index, which
    names the files that weights are in. Raises HubError where there is no model among them."""
    if CONFIG not in files:
        raise HubError(f"{repo} has no {CONFIG}: it is no model that can be read.")
    if not any(all(name in files for name in names) for names in _TOKENIZERS):
        raise HubError(
            f"{repo} has no tokenizer: neither tokenizer.json nor vocab.json and merges.txt."
        )
    layout = next((name for name in WEIGHTS if name in files), None)
    if layout is None:
        raise HubError(f"{repo} has no weights that can be read: none of {', '.join(WEIGHTS)}.")
    small = [CONFIG, *(name for name in FILES if name in files)]
    if not layout.endswith(_INDEX):
        return tuple(files[name] for name in (*small, layout))
    try:
        shards = sorted(set(any_files.parsed(read(files[layout]))["weight_map"].values()))
        return tuple(files[name] for name in (*small, layout, *shards))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HubError(f"{layout} of {repo} names files that are not there.") from None


def read_record(path: Path, of: Named) -> Release | None:
    """What was kept about a revision; None where nothing was, or of another."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = any_files.read_json(path)
        if (kept["repo"], kept["revision"]) == (of.repo, of.revision):
            files = tuple(_checked(File(**file)) for file in kept["files"])
            return Release(of.repo, _checked_commit(kept["commit"]), files)
    return None


def write_record(path: Path, of: Named, release: Release) -> None:
    """Keep which commit a revision is, and the sizes and checksums of its files."""
    kept = asdict(of) | {"commit": release.revision, "files": [asdict(f) for f in release.files]}
    with any_files.beside(path) as made:
        made.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _checked(file: File) -> File:
    """Raises ValueError for a file that may not be fetched."""
    of_a_size = type(file.size) is int and 0 <= file.size < 1 << 50
    if not (of_a_size and is_file_name(file.name) and _CHECKSUM.fullmatch(file.checksum)):
        raise ValueError(file.name)
    return file


def _checked_commit(commit: str) -> str:
    if not _COMMIT.fullmatch(commit):
        raise ValueError(commit)
    return commit


def _short(text: str) -> str:
    return repr(text) if len(text) < 120 else f"{text[:100]!r}..."
