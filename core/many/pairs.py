"""Pairs from a file: texts and the tokens that compete to come next, as somebody wrote them.

What a file is is seen from what it holds, not from its name. It knows no tokenizer: what a model
makes of a pair is `core.many.fitting`'s.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from reprlib import repr as brief  # a row may hold anything
from typing import NamedTuple
from urllib.parse import parse_qsl

from core.errors import UserError
from core.many import marks
from core.many.marks import Span
from core.question.experiment import CONTENDERS, SIDES

MOST_BYTES = 50_000_000
# What other formats call our columns.
_OURS = {
    "corrupt": "corrupted",
    "answers": "target",
    "wrong_answers": "foil",
    "correct_idx": "target_ids",
    "incorrect_idx": "foil_ids",
    "seq_labels": "labels",
}
_LISTS = ("target_ids", "foil_ids", "labels", "word_idxs")  # JSON in the cell of a table
_COLUMNS = ("id", "group", *SIDES, *CONTENDERS, *_LISTS)
_NEEDED = (
    "A row needs clean, corrupted, target and foil (or, for the ids of tokens, correct_idx and"
    " incorrect_idx in place of the last two)."
)
_ADDRESS = re.compile(r"(\S*[?&])?clean=")


@dataclass(frozen=True)
class Pair:
    """A row of a file. Of several targets (or foils) any one is right; they are texts, or the ids
    of tokens, never both."""

    id: str  # the row's own, or its line (and which of it: "1.2" is the second of line 1)
    line: int  # of the file, where the row begins; from 1
    clean: str
    corrupted: str
    target: tuple[str, ...]
    foil: tuple[str, ...]
    group: str = ""
    clean_roles: tuple[Span, ...] = ()
    corrupted_roles: tuple[Span, ...] = ()
    labels: tuple[str, ...] = ()  # one for each token, "" for one without; before `word_idxs`
    word_idxs: tuple[tuple[str, int], ...] = ()  # role -> its token, from 0
    target_ids: tuple[int, ...] = ()
    foil_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A row that is not used, and why."""

    line: int
    id: str
    reason: str


class Share(NamedTuple):
    """Every n-th row of a file, from the i-th on: what one of n machines does. Counted from 1."""

    i: int = 1
    n: int = 1

    def __str__(self) -> str:
        return f"{self.i}/{self.n}"


def place(row: Pair | Dropped) -> tuple[int, int, str]:
    """What rows are put in the order of their file by; of a line the ids decide."""
    return row.line, len(row.id), row.id


def counted(n: int, noun: str) -> str:
    """So many of something: "1 pair", "1,200 pairs"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def read(content: bytes, name: str) -> tuple[list[Pair], list[Dropped]]:
    """The pairs of a file, called `name` in messages, and the rows that are none.

    It may be a table (CSV with commas, semicolons or tabs) with the columns clean, corrupted,
    target, foil and, if there, id and group; JSON objects with these keys, one a line or in a list;
    auto-circuit's JSON; EAP's and MIB's CSV; and a Patchboard address a line, of which the texts,
    target and foil count. Other columns and keys are not looked at. Roles are marked in the first
    two, as `core.many.marks` says; in the others a bracket is a bracket.
    Raises UserError for a file that is none of these, too large, or without one usable row.
    """
    pairs: list[Pair] = []
    dropped: list[Dropped] = []
    lines: dict[str, int] = {}  # id -> where it was given first
    found: Counter[int] = Counter()  # line -> rows on it so far: of JSON there may be many
    for line, row, marked in _rows(_decoded(content, name), name):
        id = ""
        found[line] += 1
        try:
            if isinstance(row, UserError):
                raise row
            id = _word(row, "id") or (f"{line}.{found[line]}" if found[line] > 1 else str(line))
            pair = _pair(id, line, row, marked)
            if id in lines:
                raise UserError(
                    f"Line {lines[id]:,} has the id {_short(id)} already: ids are unique."
                )
        except UserError as error:
            dropped.append(Dropped(line, id, str(error)))
        else:
            lines[id] = line
            pairs.append(pair)
    if not pairs:
        first = f" Line {dropped[0].line:,}: {dropped[0].reason}" if dropped else f" {_NEEDED}"
        raise UserError(f"{name} has no row that can be used.{first}", "file")
    return pairs, dropped


def write(pairs: Iterable[Pair]) -> str:
    """A CSV file of pairs, which `read` gives back, but for their lines."""
    pairs = list(pairs)
    optional = [column for column in _LISTS if any(getattr(pair, column) for pair in pairs)]
    columns = [column for column in _COLUMNS if column not in _LISTS or column in optional]
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    for pair in pairs:
        row = {"id": pair.id, "group": pair.group}
        for side in SIDES:
            row[side] = marks.write(getattr(pair, side), getattr(pair, f"{side}_roles"))
        for column in CONTENDERS:
            row[column] = _cell(getattr(pair, column))
        for column in optional:
            value = getattr(pair, column)
            listed = dict(value) if column == "word_idxs" else value
            row[column] = json.dumps(listed, ensure_ascii=False) if value else ""
        writer.writerow([row[column] for column in columns])
    return file.getvalue()


def _cell(texts: tuple[str, ...]) -> str:
    """Targets or foils as `_from_cell` reads them."""
    if len(texts) == 1 and not _is_listed(texts[0]):
        return texts[0]
    return json.dumps(texts, ensure_ascii=False) if texts else ""


def _decoded(content: bytes, name: str) -> str:
    """The text of a file, its line ends all made "\\n"."""
    if len(content) > MOST_BYTES:
        raise UserError(
            f"{name} has more than the {MOST_BYTES / 1e6:,.0f} MB that are read: split it.",
            "file",
        )
    if content.startswith(b"PK"):
        raise UserError(f"{name} is a workbook or an archive: save it as “CSV UTF-8”.", "file")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{name} is not in UTF-8: line {line:,} has the byte 0x{content[error.start]:02X}. Save"
            " it as UTF-8 (in a spreadsheet: “CSV UTF-8”).",
            "file",
        ) from error
    if "\0" in text[:1000]:
        raise UserError(
            f"{name} is no text, or in UTF-16 without its mark: save it as UTF-8.", "file"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


# A row: its line, its values by column (or what is wrong with it), whether brackets mark roles.
_Rows = Iterator[tuple[int, dict[str, object] | UserError, bool]]


def _rows(text: str, name: str) -> _Rows:
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise UserError(f"{name} is empty. {_NEEDED}", "file")
    if lines[first].lstrip()[0] in "{[":
        return _json_rows(text, lines, name)
    if _ADDRESS.match(lines[first]):
        return _address_rows(lines)
    return _table_rows(lines, first, name)


def _table_rows(lines: list[str], first: int, name: str) -> _Rows:
    if re.fullmatch(r"sep=.", lines[first]) and first + 1 < len(lines):  # as spreadsheets begin
        first += 1
    headers = {mark: _header(lines[first], mark) for mark in ",;\t"}
    mark, header = max(headers.items(), key=lambda item: len(set(item[1]) & set(_COLUMNS)))
    lacking = [column for column in SIDES if column not in header]
    lacking += [c for c in CONTENDERS if not {c, f"{c}_ids"} & set(header)]
    if lacking:
        raise UserError(
            f"{name} has no column {' and no column '.join(lacking)}: its line {first + 1:,} should"
            f" name the columns, and reads “{lines[first][:80]}”. {_NEEDED}",
            "file",
        )
    if twice := [column for column in _COLUMNS if header.count(column) > 1]:
        raise UserError(f"{name} has two columns {twice[0]}: rename one of them.", "file")
    marked = "correct_idx" not in lines[first].casefold()
    for line, cells in _records(lines, first + 1, mark):
        if isinstance(cells, UserError):
            yield line, cells, marked
        elif len(cells) != len(header):
            error = UserError(
                f"The row has {len(cells)} cells and the file {len(header)} columns: put a text"
                " that holds separators or line ends in quotation marks."
            )
            yield line, error, marked
        else:
            row = dict(zip(header, cells, strict=True))
            try:
                yield line, {c: _from_cell(c, row[c]) for c in _COLUMNS if c in row}, marked
            except UserError as error:
                yield line, error, marked


def _header(line: str, mark: str) -> list[str]:
    cells = next(csv.reader([line[:10_000]], delimiter=mark))  # it takes no longer cells
    return [_OURS.get(cell, cell) for cell in (cell.strip().casefold() for cell in cells)]


def _records(lines: list[str], at: int, mark: str) -> Iterator[tuple[int, list[str] | UserError]]:
    """The rows of a table from the line with index `at` on, a row in quotation marks over as many
    lines as it takes. After one that is broken it goes on with the very next line."""
    while at < len(lines):
        following = (f"{lines[i]}\n" for i in range(at, len(lines)))
        reader, begin = csv.reader(following, delimiter=mark, strict=True), at
        try:
            for cells in reader:
                if cells:
                    yield at + 1, cells
                at = begin + reader.line_num
        except csv.Error as error:
            wrong = UserError(
                f"The row is no row of a table ({error}): look for a quotation mark that is not"
                ' closed; one within a text in quotation marks is written "".'
            )
            yield at + 1, wrong
            at += 1


def _from_cell(column: str, cell: str) -> object:
    """What stands in a cell of a table; None where nothing does."""
    if column in _LISTS:
        if not cell.strip():
            return None
    elif column not in CONTENDERS or not _is_listed(cell):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        example = '[" 45", " 46"]' if column in CONTENDERS else "[45, 46]"
        raise UserError(f"The {column} is no JSON, as {example} is: {_short(cell)}.") from None


def _is_listed(cell: str) -> bool:
    return cell.strip()[:1] == "[" and len(cell.strip()) > 1


def _json_rows(text: str, lines: list[str], name: str) -> _Rows:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if any(line[:1] == "{" and line.rstrip()[-1:] == "}" for line in lines):
            yield from _json_line_rows(lines)
            return
        raise UserError(f"{name} begins as JSON and breaks: {error}.", "file") from error
    of_file = {}
    if isinstance(whole, list):
        rows = _elements(text, text.index("["))
    elif "prompts" not in whole:
        rows = [(1, whole)]
    elif isinstance(prompts := whole["prompts"], list):  # auto-circuit's
        of_file = {key: whole[key] for key in ("seq_labels", "word_idxs") if whole.get(key)}
        begins = re.finditer(r'(?<!\\)"prompts"\s*:\s*(?=\[)', text)
        listed = (list(_elements(text, begin.end())) for begin in begins)
        # A key may be written in escapes, and NaN is not itself: then all are on the first line.
        same = (rows for rows in listed if [row for _, row in rows] == prompts)
        rows = next(same, [(1, row) for row in prompts])
    else:
        raise UserError(f"{name} has no list under “prompts”.", "file")
    marked = not (isinstance(whole, dict) and "prompts" in whole)
    for line, row in rows:
        if isinstance(row, dict):
            yield line, _renamed(of_file | row), marked
        else:
            yield line, UserError(f"The row is no object with keys: {_short(row)}."), False


def _json_line_rows(lines: list[str]) -> _Rows:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            row = UserError(f"The line is no JSON: {error}.")
        else:
            is_row = isinstance(row, dict)
            row = _renamed(row) if is_row else UserError(f"The line is no object: {_short(row)}.")
        yield number, row, True


def _elements(text: str, at: int) -> Iterator[tuple[int, object]]:
    """The elements of the JSON list that begins at `at`, valid all of it, each with its line."""
    decoder, after = json.JSONDecoder(), re.compile(r"[\s,]*")
    line, counted = 1, 0
    at = after.match(text, at + 1).end()
    while text[at] != "]":
        line, counted = line + text.count("\n", counted, at), at
        value, end = decoder.raw_decode(text, at)
        yield line, value
        at = after.match(text, end).end()


def _renamed(row: dict[str, object]) -> dict[str, object]:
    return {_OURS.get(key, key): value for key, value in row.items()}


def _address_rows(lines: list[str]) -> _Rows:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        address = line.strip().partition("#")[0]
        query = address.partition("?")[2] or address
        try:
            row = dict(parse_qsl(query, keep_blank_values=True, errors="strict"))
        except ValueError as error:
            row = UserError(f"The line is no address: {error}.")
        else:
            row.pop("id", None)
        yield number, row, False


def _pair(id: str, line: int, row: dict[str, object], marked: bool) -> Pair:
    values: dict[str, tuple] = {}
    texts: dict[str, str] = {}
    for side in SIDES:
        text = _given(row, side)
        if not isinstance(text, str):
            raise UserError(f"The {side} should be a text, and is {_short(text)}.")
        texts[side], values[f"{side}_roles"] = marks.parse(text) if marked else (text, ())
    for column in CONTENDERS:
        ids = row.get(f"{column}_ids")
        if ids is None:
            what = f"The {column} should be a text or a list of texts"
            values[column] = _several(_given(row, column), str, what, '[" 45", " 46"]')
        elif row.get(column):
            raise UserError(f"The row has the {column} as text and as id: take one of them out.")
        else:
            what = f"The {column} should be the id of a token or a list of ids"
            values |= {column: (), f"{column}_ids": _several(ids, int, what, "[45, 46]")}
    if labels := row.get("labels"):
        values["labels"] = _several(labels, str, "The labels should be texts", '["", "S1"]')
    if word_idxs := row.get("word_idxs"):
        what, example = "The word_idxs should be positions by name", '{"S1": 2}'
        by_name = word_idxs if isinstance(word_idxs, dict) else {"": None}
        positions = _several([*by_name.values()], int, what, example)
        values["word_idxs"] = tuple(zip(by_name, positions, strict=True))
    return Pair(id, line, group=_word(row, "group"), **texts, **values)


def _given(row: dict[str, object], column: str) -> object:
    if row.get(column) is None:
        raise UserError(f"The row has no {column}. {_NEEDED}")
    return row[column]


def _several(value: object, kind: type, what: str, example: str) -> tuple:
    """One or a list of some `kind`, as a tuple."""
    values = value if isinstance(value, list) else [value]
    if not values or any(type(one) is not kind for one in values):  # True is no number here
        raise UserError(f"{what}, as {example}, and is {_short(value)}.")
    return tuple(values)


def _word(row: dict[str, object], column: str) -> str:
    """An id or a group, which may be a number; "" where there is none."""
    value = row.get(column)
    if value is None:
        return ""
    if type(value) not in (str, int):
        raise UserError(f"The {column} should be a text or a number, and is {_short(value)}.")
    return str(value).strip().encode("utf-8", "backslashreplace").decode()


def _short(value: object) -> str:
    shown = value if isinstance(value, str) else brief(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
