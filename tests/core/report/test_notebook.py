"""A report is edited as a value, saved as one file, and read back from anybody's."""

import json
from dataclasses import replace

import pytest

from core.errors import UserError
from core.report import notebook
from core.report.method import method
from core.report.missing import missing
from core.report.notebook import Report
from core.views import exports
from tests.builders import HOSTILE, answer


@pytest.fixture
def report(kinds) -> Report:
    return Report("A title", "Ann", "NLP", "Why?", findings=tuple(kinds.values()))


def test_a_report_is_read_back_from_its_file(report):
    report = report.with_text("discussion", " ".join(HOSTILE)).with_text("least", 5)
    report = report.with_words(report.findings[1].id, words="“So”\n\nit is", title="<b>")
    read = Report.from_dict(json.loads(report.to_json()))
    again = tuple(replace(of, id="") for of in read.findings)
    before = tuple(replace(of, id="", content="") for of in report.findings)
    assert tuple(replace(of, content="") for of in again) == before
    assert replace(read, findings=()) == replace(report, findings=())
    assert [json.loads(of.content) for of in again] == [
        json.loads(of.content) for of in report.findings
    ]


def test_findings_are_moved_edited_and_removed(report):
    first, second, *_ = (of.id for of in report.findings)
    assert [of.id for of in report.moved(first, 1).findings][:2] == [second, first]
    assert report.moved(first, -1) == report
    assert second not in [of.id for of in report.without(second).findings]
    assert report.with_words(first, words="Yes.").get(first).words == "Yes."


def test_the_authors_words_count_and_nothing_else_does(report):
    assert sum(report.words.values()) == 1  # not the titles, the captions, the generated method
    report = report.with_text("introduction", "It's  a well-known\n\nthing, 3.5 % of 1,000: “ja”.")
    report = report.with_words(report.findings[0].id, words="two words")
    assert report.words["introduction"] == 8
    assert report.words["results"] == 2 and report.words["method"] == 0
    assert report.with_text("method", "as I did").words["method"] == 3


@pytest.mark.parametrize(
    "change",
    [
        {"title": 5},
        {"introduction": None},
        {"least": 2000, "most": 10},
        {"findings": [{"id": "x"}]},
        {"findings": "none"},
        {"discussion": "x" * 300_000},
    ],
    ids=str,
)
def test_a_damaged_report_is_refused(report, change):
    with pytest.raises(UserError):
        Report.from_dict(json.loads(report.to_json()) | change)


def test_a_report_with_a_damaged_finding_says_which(report):
    data = json.loads(report.to_json())
    data["findings"][2]["result"]["frozen"] = "no"
    with pytest.raises(UserError, match="Its finding 3 is damaged"):
        Report.from_dict(data)


def test_what_could_not_be_opened_again_is_not_taken_in(report, monkeypatch):
    monkeypatch.setattr(notebook, "MOST_FINDINGS", len(report.findings))
    with pytest.raises(UserError, match="at most 6 findings"):
        report.with_finding(report.findings[0])
    monkeypatch.setattr(notebook, "MOST_BYTES", report.size)
    with pytest.raises(UserError, match="remove a finding"):
        report.with_text("introduction", "a longer text")


# --- the method -----------------------------------------------------------------------------------


def test_the_method_says_what_was_used_and_nothing_else(kinds):
    def told(*names: str) -> str:
        return method(Report(findings=tuple(kinds[name] for name in names)))

    assert "What was patched" not in method(Report())
    text = told("map")
    assert "tiny (3 layers" in text and "residual stream (resid_post), by layer and pos" in text
    assert "Clean activations were patched into the corrupted run" in text
    assert "Corrupted activations" not in text and "bootstrap" not in text
    assert "All results are of one pair of texts." in text
    assert "Corrupted activations were patched into the clean run" in told("map", "compare")
    assert "Clean activations" in told("compare") and told("compare").count("resid_post") == 1
    assert "9 of 9 pairs" in told("many") and "where LD is logit(foil)" in told("many", "heads")
    assert "What is not over many pairs is of one pair" in told("many", "paths")
    assert "(path patching)" in told("paths")
    assert "logit lens" in told("lens") and "tiny (3 layers" in told("lens")
    assert "patch" not in told("lens").replace("unpatched", "")


# --- what a reader would miss ---------------------------------------------------------------------


def whole(*found, **changes) -> Report:
    texts = dict.fromkeys(("introduction", "discussion", "conclusion"), "Some text.")
    about = {"title": "T", "authors": "A", "least": 0} | texts
    return Report(**about | changes, findings=tuple(replace(of, words="It shows.") for of in found))


@pytest.fixture
def flipping(loaded):
    """A map of a pair that flips."""
    result = answer(loaded)
    data = json.loads(exports.to_json(result))
    data["metrics"]["logit_diff"] |= {"clean": -2.0, "corrupted": 3.0}
    return notebook.findings.finding(json.dumps(data))


def test_a_whole_report_misses_nothing(flipping):
    assert missing(whole(flipping)) == []


def test_what_is_missing_is_told(flipping, kinds):
    (said,) = missing(whole())
    assert "There are no findings" in said
    report = whole(flipping)
    (said,) = missing(report.with_words(report.findings[0].id, words=" "))
    assert "Finding 1" in said and "has no text of yours" in said
    assert any("does not flip" in said for said in missing(whole(kinds["map"])))
    (said,) = missing(whole(flipping, conclusion="GPT-2 always does."))
    assert "“always” is a general claim" in said and "a single pair" in said
    assert missing(whole(flipping, kinds["many"], conclusion="It always does.")) == []
    assert missing(whole(flipping, authors="", discussion="")) == [
        "The report has no author.",
        "The section Discussion is empty.",
    ]
    assert "3 words too few: at least 11 are asked for." in missing(whole(flipping, least=11))[0]
    assert "4 words too many: at most 4 are asked for." in missing(whole(flipping, most=4))[0]


def test_a_result_that_does_not_say_its_baselines_is_told(flipping, result):
    data = {"experiment": result.experiment.to_dict(), "model": vars(result.model) | {"x": 1}}
    bare = notebook.findings.finding(json.dumps(data | {"smoke_test": None, "n": 5}))
    (said,) = missing(whole(flipping, bare))
    assert "does not state the values of the unpatched runs" in said
