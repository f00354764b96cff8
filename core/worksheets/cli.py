"""`python -m core check`: a folder of what was handed in, computed again."""

import argparse
from pathlib import Path

from core import output
from core.worksheets.checking import Checked, check, to_csv


def add(commands: argparse._SubParsersAction) -> None:
    """The command, with all it needs."""
    parser = commands.add_parser(
        "check",
        help="compute a folder of handed-in files again: equal or not, answers, repeated texts",
        description="Compute every JSON file in a folder again: answers to a worksheet and results"
        " of single maps. The exit status is 1 if any numbers differ or a file cannot be read.",
    )
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument(
        "--csv", metavar="FILE", help="a line for each answer; - for the table alone"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.csv:
        output.check_places({"csv": options.csv})
    rows = list(check(Path(options.folder)))
    if options.csv:
        output.write(options.csv, to_csv(rows))
    if options.csv != "-":
        print(report(rows))
    return int(any(row.problem or row.numbers == "differ" for row in rows))


def report(rows: list[Checked]) -> str:
    """What stands out, file by file, and how much there was."""
    lines = []
    for row in rows:
        where = f"{row.file}{f', {row.task}' if row.task else ''}"
        says = []
        if row.problem:
            says.append(row.problem)
        if row.numbers == "differ":
            says.append(f"the numbers differ by {row.largest_difference}")
        if row.numbers == "another model's":
            says.append("the numbers are another model's")
        if row.right == "no":
            says.append(f"not right ({row.answer})")
        if row.repeats:
            says.append(f"much the same stands in {row.repeats}")
        if says:
            lines.append(output.printable(f"{where}: {'; '.join(says)}"))
    count = {
        what: sum(test(row) for row in rows)
        for what, test in (
            ("equal", lambda row: row.numbers == "equal"),
            ("differ", lambda row: row.numbers == "differ"),
            ("right", lambda row: row.right == "yes"),
            ("not right", lambda row: row.right == "no"),
        )
    }
    files = len({row.file for row in rows})
    counted = ", ".join(f"{number} {what}" for what, number in count.items())
    return "\n".join([*lines, f"{files} file{'s' * (files != 1)}: {counted}."])
