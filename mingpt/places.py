"""Where on this machine models of a hub are kept: our own cache and Hugging Face's.

Reads the environment: PATCHBOARD_CACHE, and HF_HUB_CACHE, HF_HOME and XDG_CACHE_HOME as Hugging
Face's own tools do.
"""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from mingpt import files
from mingpt.repository import HubError, is_file_name


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
    places = (folder.absolute(), *folder.absolute().parents)
    there = next(place for place in places if os.path.exists(place))
    return shutil.disk_usage(there).free


def _expanded(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise HubError(
            f"there is no home folder to put in for the ~ of {path}: set PATCHBOARD_CACHE to a"
            " folder for downloaded models."
        ) from None


def hugging_face_cache() -> Path:
    """Raises HubError as `cache_folder` does."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or Path(caches, "huggingface")
    return _expanded(os.environ.get("HF_HUB_CACHE") or Path(home, "hub"))


def commit_of(repo: Path, revision: str) -> str | None:
    """Which commit a revision is in Hugging Face's cache of a repository."""
    with suppress(OSError, ValueError):
        commit = files.read(repo / "refs" / revision).decode("ascii").strip()
        return commit if is_file_name(commit) else None
    return None


def link(source: Path, target: Path) -> None:
    """Make `target` a link to the file `source`, or a copy where the system has no links. Where
    nothing can be written there will be none: the download that follows says why."""
    for make in (os.symlink, os.link, shutil.copyfile):
        with suppress(OSError, NotImplementedError):
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.beside(target) as made:
                make(source.resolve(), made)
            return
