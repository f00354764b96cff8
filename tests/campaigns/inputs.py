"""Hostile texts, links and files by the thousand: `python -m tests.campaigns.inputs [--seed 0]`.

Texts and tokens are read and, where they can be, swept; files of nine kinds that Patchboard writes
are spoiled and opened, with all that a page makes of them; links are opened on a server. Counted is
what was answered and what was refused in a sentence. Anything else is a fault, of which the first
of its kind is shown, and the status is 1.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import models
from core.errors import UserError
from core.many import pairs
from core.many.packs import PACKS
from core.presets import PRESETS
from core.question.experiment import Experiment
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.report import document, figures, findings, html, missing
from core.report.notebook import Report
from core.study import draft_for
from core.views import exports, history, opening
from core.worksheets.bundled import BUNDLED
from core.worksheets.checking import Checking
from core.worksheets.handed_in import HandedIn, Said
from core.worksheets.worksheet import Worksheet, decoded
from pages.parts import opened
from tests import builders
from tests.browser.driver import Server
from tests.campaigns.messages import PAGES
from tests.tab import Tab

LONGEST = 5.0  # seconds of work; what takes longer hangs
ASKED = PRESETS[0].experiment("teaching")
PIECES = [*builders.HOSTILE, "", " ", "\n", "\t\r", "\ud800", "\u202e", "\u200d\ufeff", "\x1b[31m"]
PIECES += ["<|endoftext|>", "a" * 10**6, "\U0010ffff" * 500, "Mary", " John", " the", "![i](//h/x)"]
VALUES = [None, True, -1, 0, 2.5, 1e308, 10**30, [], {}, [[]], "x" * 10**5, *PIECES]
NUMBERS = ["-1", "0", "1", "99999999999", "1e9", "nan", "²", "0x1", "1.5"]


class _TooLong(BaseException):
    pass


def counted(one: Callable[[random.Random], str], number: int, seed: int) -> Counter:
    """What became of so many inputs: "answered", "refused", "hang", or a traceback."""

    def end(*_) -> None:
        raise _TooLong

    found: Counter = Counter()
    signal.signal(signal.SIGPROF, end)
    for each in range(number):
        try:
            signal.setitimer(signal.ITIMER_PROF, LONGEST)
            said = one(random.Random(f"{seed} {each}"))
        except UserError as error:
            said = "refused" if 10 < len(str(error)) < 3000 else f"no sentence: {error!r:.200}"
        except _TooLong:
            said = "hang"
        except Exception:
            said = traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if said not in ("answered", "refused") and said not in found:
            print(f"--- number {each}: {said}", file=sys.stderr, flush=True)
        found[said] += 1
    return found


def words(chance: random.Random) -> str:
    return "".join(chance.choices(PIECES, k=chance.randint(1, 6)))


def changed(chance: random.Random) -> Experiment:
    """An experiment of which one to four texts are something else."""
    values = ASKED.to_dict() | {
        "site": chance.choice([*SITES]),
        "metric": chance.choice([*METRICS]),
        "bos": chance.random() < 0.2,
    }
    if chance.random() < 0.5:  # in both texts alike, so that they may be of equal lengths
        piece = chance.choice(PIECES)
        values |= {name: f"{piece}{values[name]}" for name in ("clean", "corrupted")}
    else:
        for name in chance.sample(("clean", "corrupted", "target", "foil"), chance.randint(1, 4)):
            is_small = chance.random() < 0.5
            values[name] = f"{values[name]}{chance.choice(PIECES)}" if is_small else words(chance)
    return Experiment.from_dict(values)


def text(chance: random.Random) -> str:
    model, asked = models.load(models.TEACHING), changed(chance)
    draft = draft_for(asked, model)
    for problem in draft.problems.values():
        raise problem
    result = builders.finished(asked, model).read(asked)
    exports.to_json(result)
    return "answered"


def written() -> dict[str, str]:
    """A file of each kind."""
    model, sheet = models.load(models.TEACHING), next(iter(BUNDLED.values()))
    result = builders.finished(ASKED, model).read(ASKED)
    one = exports.to_json(result)
    report = Report(title="A").with_finding(findings.finding(one, "effect"))
    asked = history.asked("", ASKED.to_query(), datetime.now(UTC), result)
    said = tuple(Said(words="So.") for _ in sheet.tasks)
    other = {name: json.loads(one)[name] for name in ("experiment", "model")}
    return {
        "map": one,
        "maps": exports.maps_json("compare", {"denoise": result, "noise": result}),
        "set": json.dumps(other | {"components": ["mlp0", "3.1"], "joint": {}}),
        "continued": json.dumps(other | {"continued": [], "sampling": {"tokens": 5}}),
        "report": report.to_json(),
        "history": json.dumps(history.to_dict([asked])),
        "worksheet": sheet.to_json(),
        "answers": HandedIn("Ann", sheet, said).to_json(),
        "pairs": pairs.write(next(iter(PACKS.values())).make()[:20]),
    }


def spoiled(content: str, chance: random.Random) -> bytes:
    """With one to three values replaced, or some of its bytes."""
    try:
        value = json.loads(content)
        for _ in range(chance.randint(1, 3)):
            _replace(value, chance)
        content = json.dumps(value)
    except ValueError:  # a table
        cells = content.split(",")
        for _ in range(chance.randint(1, 3)):
            cells[chance.randrange(len(cells))] = words(chance)
        content = ",".join(cells)
    raw = content.encode("utf-8", "surrogatepass")
    at = chance.randrange(len(raw))
    match chance.randrange(8):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + chance.randbytes(chance.randint(1, 9)) + raw[at + 1 :]
        case 2:
            return raw.decode("utf-8", "replace").encode("utf-16")
        case 3:
            return raw[:at] + b"[" * chance.choice((50, 5000, 10**5)) + raw[at:]
    return raw


def _replace(value: Any, chance: random.Random) -> None:
    """One of the values within, by another or by nothing."""
    while True:
        keys = [*value] if isinstance(value, dict) else [*range(len(value))]
        if not keys:
            return
        key = chance.choice(keys)
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and chance.random() < 0.85:
            value = inner
            continue
        if chance.random() < 0.2:
            del value[key]
        elif isinstance(value, list) and chance.random() < 0.2:
            value += [inner] * chance.choice((1, 100, 10_000))
        else:
            value[key] = chance.choice(VALUES)
        return


def file(kinds: dict[str, str]) -> Callable[[random.Random], str]:
    def one(chance: random.Random) -> str:
        kind = chance.choice([*kinds])
        content = spoiled(kinds[kind], chance)
        if kind == "pairs":
            pairs.read(content, "theirs.csv")
        elif kind == "worksheet":
            Worksheet.read(decoded(content))
        elif kind == "answers":
            Checking([("theirs.json", content)])
            HandedIn.read(decoded(content))
        else:
            _open(content)
        return "answered"

    return one


def _open(content: bytes) -> None:
    """As the page "Open", and the page of the file."""
    of = opening.read(content, "theirs.json")
    if of.kind == "history":
        history.from_dict(of.data)
    elif of.kind == "report":
        report = Report.from_dict(of.data)
        missing.missing(report)
        for finding in report.findings:
            figures.figures(finding)
        html.html(document.document(report, {}))
    else:
        opening.apart(of.data, of.data)
        for shown in of.maps.values():
            opened._figure(shown, of)


def link(server: Server) -> Callable[[random.Random], str]:
    names = [*ASKED.to_query(), "row", "position", "view", "pack", "trail", "set", "guess", "why"]
    names += ["predict", "seen", "write", "sheet", "answers", "task", "draft", "at", "do", "keep"]

    def one(chance: random.Random) -> str:
        query = ASKED.to_query()
        for name in chance.sample(names, chance.randint(1, 4)):
            query[name] = (
                (chance.choice(NUMBERS) if chance.random() < 0.4 else words(chance)[:20_000])
                .encode("utf-8", "replace")
                .decode()
            )
        with Tab(server.url, chance.choice(PAGES), **query) as tab:
            for told in tab.exceptions:
                return f"Traceback: {told.type} {told.message} {query!r:.300}"
        return "answered"

    return one


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    for kind, number in (("texts", 400), ("files", 500), ("links", 100)):
        parser.add_argument(f"--{kind}", type=int, default=number)
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as home:
        server = Server(Path.cwd(), Path(home))
        try:
            server.wait_until_up()
            works = {"texts": text, "files": file(written()), "links": link(server)}
            for kind, work in works.items():
                began = time.monotonic()
                found = counted(work, getattr(options, kind), options.seed)
                good = {name: found[name] for name in ("answered", "refused")}
                faults = found.total() - sum(good.values())
                bad += faults
                print(
                    f"{found.total()} {kind} in {time.monotonic() - began:.0f} s: answered"
                    f" {good['answered']}, refused in a sentence {good['refused']}, hangs over"
                    f" {LONGEST:.0f} s {found['hang']}, tracebacks {faults - found['hang']}",
                    flush=True,
                )
        finally:
            server.stop()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
