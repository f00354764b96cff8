"""`many` and `many merge`: one map over a file of pairs."""

import argparse
from pathlib import Path

from core import output
from core.commands import asking, progress
from core.many import cli as many_pairs
from core.many.answer import Answer
from core.views import many_files
from core.views.terminal import report_many


def add(commands: argparse._SubParsersAction) -> None:
    many, merge = many_pairs.add(commands, asking.whole)
    many.set_defaults(run=_many)
    merge.set_defaults(run=_merge)
    asking.model(many)


def _many(options: argparse.Namespace) -> int:
    asking.choose_checkpoint(options)
    files = asking.files(options)
    asked = many_pairs.Command(options)
    _print_many(asked.run(asking.load(options), progress.Pace()), options.out, files)
    return 0


def _merge(options: argparse.Namespace) -> int:
    files = asking.files(options)
    _print_many(many_pairs.merge(options), options.out, files)
    return 0


def _print_many(
    answered: Answer | many_pairs.Unmapped, out: str | None, files: dict[str, str]
) -> None:
    said = many_files.many_json(answered) + "\n"
    if out:
        made = many_files.files(answered) if isinstance(answered, Answer) else {}
        for name, make in ({"answer.json": lambda: said} | made).items():
            output.write(Path(out, name), make())
    if "json" in files:
        output.write(files["json"], said)
    if files.get("json") != "-":
        print(report_many(answered) if isinstance(answered, Answer) else answered.text)
