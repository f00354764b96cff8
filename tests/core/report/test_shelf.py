"""A report outlives the server, and what is wrong with the disk is nobody's mishap."""

import pytest

from core.report import shelf
from core.report.notebook import Report
from tests.builders import HOSTILE

KEY, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHBOARD_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def test_a_report_is_there_again_with_its_findings_called_as_they_were(folder, kinds):
    report = Report("T", introduction=" ".join(HOSTILE), findings=tuple(kinds.values()))
    shelf.save(KEY, report)
    there = shelf.load(KEY)
    assert there.introduction == report.introduction
    assert [of.id for of in there.findings] == [of.id for of in report.findings]
    assert [path.name for path in folder.iterdir()] == [f"{KEY}.json"]
    shelf.save(KEY, Report("Another"))
    assert shelf.load(KEY) == Report("Another") and shelf.load(OTHER) is None


@pytest.mark.parametrize("content", [b"", b"[" * 1000, b'{"title": NaN}', b'{"title": "T"}'])
def test_a_damaged_one_is_as_if_it_were_not_there(folder, content):
    folder.mkdir()
    (folder / f"{KEY}.json").write_bytes(content)
    assert shelf.load(KEY) is None


def test_where_none_can_or_shall_be_written_there_is_none(folder, monkeypatch):
    folder.write_text("a file where the folder should be")
    shelf.save(KEY, Report("T"))
    assert shelf.load(KEY) is None
    monkeypatch.setenv("PATCHBOARD_REPORTS", "")
    shelf.save(KEY, Report("T"))
    assert shelf.load(KEY) is None


def test_of_too_many_those_that_were_not_saved_for_longest_go(folder, monkeypatch):
    monkeypatch.setattr(shelf, "_MOST", 2)
    for key in ("a", "b", "c"):
        shelf.save(key, Report(key))
    assert [bool(shelf.load(key)) for key in ("a", "b", "c")] == [False, True, True]
