"""A folder of `--out`: what it is of, and, once it is finished, all that an answer takes, so that
the shards of a survey are joined without the model.

survey.json is written before the first pair is computed, and again after the last. Values that
were computed meanwhile are in the folder's `store`.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from core import output
from core.errors import UserError
from core.many import store
from core.many.answer import Answer
from core.many.fitting import Fitted
from core.many.pairs import Share, counted, place
from core.many.store import Store, plain, restored
from core.many.values import Screened, Swept
from core.question.experiment import RENAMED, Experiment
from core.result import ModelCard

SURVEY = "survey.json"
SCREENED = "screened.json"  # where pairs are chosen by what the model says to their plain runs


_PAIRS = tuple[tuple[str, Fitted], ...]


class Head(NamedTuple):
    """What a folder is of."""

    share: Share
    model: str  # its name, of which there may be several
    of: dict[str, Any]  # all that must be the same for pairs to be of one survey, by what it is


def head(
    content: bytes, share: Share, model: ModelCard, asked: Experiment, metrics: Sequence[str], **how
) -> Head:
    """Of the content of a file; `how` are the other options that say what is computed."""
    question = {name: getattr(asked, name) for name in ("site", "direction", "window", "bos")}
    of = {
        "file": hashlib.sha256(content).hexdigest()[:12],
        "model": model.fingerprint,
        "dtype": model.dtype,
        **question,
        "embedding": asked.embedding,
        "metrics": list(metrics),
        **how,
    }
    return Head(share, model.name, of)


def check(folder: Path, resume: bool) -> None:
    """Raises UserError for a folder that holds work already, or anything else."""
    try:
        there = any(path.name[0] != "." for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{folder} cannot be written to: {error.strerror}.", "out") from error
    if there and not (folder / SURVEY).exists():
        raise UserError(f"{folder} holds other files: name a folder that is new or empty.", "out")
    if there and not resume:
        raise UserError(
            f"{folder} holds a survey already: add --resume to go on from it, or name another"
            " folder.",
            "out",
        )


def begin(folder: Path, head: Head) -> Store:
    """Take a folder that `check` let pass. Raises UserError where it is of something else."""
    if (folder / SURVEY).exists():
        there, _ = _read(folder)
        what = _difference(there, head)
        if there.share != head.share:
            what = what or f"is share {there.share}, not {head.share}"
        if what:
            raise UserError(f"{folder} {what}: name another folder.", "out")
    else:  # before anything else: without it the folder is nobody's
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be made: {error.strerror}.", "out") from error
        output.write(folder / SURVEY, json.dumps(plain(head), indent=1))
    return Store(folder)


def keep_screened(folder: Path, screened: dict[str, Screened]) -> None:
    """What the model says to every pair, by id. Raises UserError."""
    output.write(folder / SCREENED, json.dumps(plain(screened)))


def screened(folder: Path) -> dict[str, Screened]:
    """What `keep_screened` has kept in a folder that was begun, or nothing."""
    try:
        return restored(dict[str, Screened], json.loads((folder / SCREENED).read_bytes()))
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def finish(folder: Path, head: Head, pairs: Sequence[tuple[str, Fitted]], about: dict) -> None:
    """Write down what `Answer.of` takes but for the values of the pairs, which are in the store by
    these digests. Raises UserError."""
    whole = plain(head) | {"pairs": plain(pairs), "about": plain(about)}
    output.write(folder / SURVEY, json.dumps(whole, indent=1))


def merge(folders: Sequence[Path], out: Path | None = None) -> Answer:
    """The answer of all shards of a survey, in whatever order; in the folder `out`, which is new,
    as if one machine had done it all. Raises UserError where the shards are not all there, once
    each, finished and of one survey."""
    shards = [(folder, *_read(folder)) for folder in folders]
    _check_shares({folder: head for folder, head, _ in shards}, folders)
    found, abouts = [], []
    for folder, _, rest in shards:
        if "about" not in rest:
            raise UserError(f"{folder} is not finished: run its command again with --resume.")
        found += _values(folder, rest["pairs"])
        abouts.append(rest["about"])
    whole, shared = abouts[0], _shared(abouts[0])
    for about, folder in zip(abouts, folders, strict=True):
        for name, value in _shared(about).items():
            if value != shared[name]:
                raise UserError(f"{folder} has another {name} than {folders[0]}.")
    dropped, left_out = ([row for of in abouts for row in of[n]] for n in ("dropped", "left_out"))
    whole["given"] = sum(about["given"] for about in abouts)
    whole["dropped"] = tuple(sorted(dropped, key=place))
    whole["left_out"] = tuple(sorted(left_out, key=lambda of: place(of.row)))
    if not found:
        raise UserError(
            f"None of {counted(whole['given'], 'pair')} is used: {whole['dropped'][0].reason}"
        )
    found.sort(key=lambda of: place(of[1].pair.pair))
    if out:
        head = shards[0][1]._replace(share=Share())
        values = begin(out, head)
        for digest, swept in found:
            values.add(digest, swept)
        finish(out, head, [(digest, swept.pair) for digest, swept in found], whole)
    return Answer.of([swept for _, swept in found], **whole)


def _shared(about: dict[str, Any]) -> dict[str, Any]:
    """What shards have in common; a model may have another name on another machine."""
    own = {"experiment", "model", "given", "dropped", "left_out"}
    common = {name: value for name, value in about.items() if name not in own}
    return common | {"metric": about["experiment"].metric}


def _check_shares(heads: dict[Path, Head], folders: Sequence[Path]) -> None:
    first = folders[0]
    n = heads[first].share.n
    by_share: dict[Share, Path] = {}
    for folder in folders:
        share = heads[folder].share
        if what := _difference(heads[folder], heads[first]):
            raise UserError(f"{folder} {what}, as {first} is.")
        if share.n != n:
            raise UserError(f"{folder} is share {share}, and {first} is {heads[first].share}.")
        if share in by_share:
            raise UserError(f"{by_share[share]} and {folder} are both share {share}.")
        by_share[share] = folder
    if lacking := [str(share) for i in range(n) if (share := Share(i + 1, n)) not in by_share]:
        shown = ", ".join(lacking[:20]) + ", ..." * (len(lacking) > 20)
        raise UserError(f"Of {n} shares {len(lacking)} are not here: {shown}.")


def _values(folder: Path, pairs: Sequence[tuple[str, Fitted]]) -> list[tuple[str, Swept]]:
    try:
        lines = store.kept(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}.") from error
    found = [store.found(pair, lines.get(digest)) for digest, pair in pairs]
    if missing := found.count(None):
        raise UserError(
            f"{folder} lacks the values of {missing:,} of its pairs: run its command again with"
            " --resume."
        )
    return [(digest, swept) for (digest, _), swept in zip(pairs, found, strict=True)]


def _read(folder: Path) -> tuple[Head, dict[str, Any]]:
    """What a folder is of and, where it is finished, its "pairs", with their digests, and what the
    answer is "about"."""
    try:
        said = json.loads((folder / SURVEY).read_bytes())
        head = restored(Head, said)
        head.of["direction"] = RENAMED.get(head.of["direction"], head.of["direction"])
        if "about" not in said:
            return head, {}
        kinds = get_type_hints(Answer)
        about = {name: restored(kinds[name], value) for name, value in said["about"].items()}
        return head, {"pairs": restored(_PAIRS, said["pairs"]), "about": about}
    except OSError as error:
        raise UserError(
            f"{folder} holds no survey ({error.strerror}): name a folder that --out wrote."
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{folder / SURVEY} is damaged, or of another version of Patchboard."
        ) from error


def _difference(head: Head, other: Head) -> str:
    """In what the second differs from the first, or nothing."""
    for name in head.of.keys() | other.of.keys():
        asked, there = head.of.get(name), other.of.get(name)
        if asked != there:
            if name == "model":
                asked, there = f"{head.model} ({asked})", f"{other.model} ({there})"
            return f"is of another {name}: {_said(asked)}, not {_said(there)}"
    return ""


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
