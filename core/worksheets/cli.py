"""`python -m core check` and `key`: what was handed in, and a worksheet's answers, computed."""

import argparse
from collections import Counter
from itertools import groupby
from pathlib import Path

from core import output
from core.errors import UserError
from core.steps import finish
from core.worksheets import key
from core.worksheets.checking import NOTHING, Checked, check, files_in, to_csv
from core.worksheets.worksheet import WRONG, Worksheet, decoded


def add(commands: argparse._SubParsersAction) -> None:
    """Both commands, with all they need."""
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
    parser.set_defaults(run=_check)
    keys = commands.add_parser(
        "key",
        help="compute the answers to a worksheet",
        description="Compute the answers to all tasks of a worksheet: what its runs say, the cells"
        " that count as right, what is wrong. The exit status is 1 if a task has no answer.",
    )
    keys.add_argument("worksheet", metavar="WORKSHEET.json")
    keys.add_argument("--json", metavar="FILE", help="the key; - for standard output alone")
    keys.add_argument("--csv", metavar="FILE", help="a line for each task; or -")
    keys.set_defaults(run=_key)


def _key(options: argparse.Namespace) -> int:
    files = {kind: path for kind in ("json", "csv") if (path := getattr(options, kind))}
    output.check_places(files)
    try:
        content = Path(options.worksheet).read_bytes()
    except OSError as error:
        raise UserError(
            f"{options.worksheet} cannot be read ({type(error).__name__}).", "worksheet"
        ) from error
    sheet = Worksheet.read(decoded(content))
    rows = finish(key.key(sheet))
    if "json" in files:
        output.write(files["json"], key.to_json(sheet, rows) + "\n")
    if "csv" in files:
        output.write(files["csv"], key.to_csv(rows))
    if "-" not in files.values():
        for row in rows:
            says = row.problem or row.cells_in_words or WRONG.get(row.wrong, "")
            print(output.printable(f"{row.number}. {row.title} ({row.kind}) {says}".rstrip()))
    return int(any(row.problem for row in rows))


def _check(options: argparse.Namespace) -> int:
    if options.csv:
        output.check_places({"csv": options.csv})
    rows = finish(check(files_in(Path(options.folder))))
    if options.csv:
        output.write(options.csv, to_csv(rows))
    if options.csv != "-":
        print(report(rows))
    return int(any(row.problem or row.numbers == "differ" for row in rows))


def report(rows: list[Checked]) -> str:
    """File by file whose it is, what is unanswered and what stands out, and how much there was."""
    lines = []
    for file, of in groupby(rows, key=lambda row: row.file):
        answers = list(of)
        whose = f" ({answers[0].names})" if answers[0].names else ""
        lines.append(f"{file}{whose}: {_in_all(answers)}")
        lines += [f"  {row.task}: {says}" for row in answers if row.task and (says := _says(row))]
    files = len({row.file for row in rows})
    numbers, right = Counter(row.numbers for row in rows), Counter(row.right for row in rows)
    lines.append(
        f"{files} file{'s' * (files != 1)}. Maps: {numbers['equal']} equal, {numbers['differ']}"
        f" differ. Answers: {right['yes']} right, {right['no']} not right."
    )
    return "\n".join(map(output.printable, lines))


def _in_all(answers: list[Checked]) -> str:
    """What is said of a whole file, given by what is found of its answers."""
    if not answers[0].task:
        return _says(answers[0]) or "the numbers are equal"
    unanswered = [row.task for row in answers if row.answer == NOTHING]
    bare = sum(row.numbers == "none" for row in answers)
    said = f"{len(answers) - len(unanswered)} of {len(answers)} tasks answered"
    if unanswered:
        said += f", not {'; '.join(unanswered)}"
    return said + (f"; {bare} of them with no map's numbers to check" if bare else "")


def _says(row: Checked) -> str:
    """What stands out in an answer."""
    said = [row.problem] if row.problem else []
    if row.numbers == "differ":
        said.append(f"the numbers differ by {row.largest_difference} ({row.differs_at})")
    if row.numbers == "another model's":
        said.append("the numbers are another model's")
    if row.right == "no":
        said.append(f"not right ({row.answer})")
    if row.repeats:
        said.append(f"much the same stands in {row.repeats}")
    return "; ".join(said)
