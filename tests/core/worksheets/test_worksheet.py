"""A worksheet is one small file or link, and what is none is refused in words."""

import json

import pytest

from core.errors import UserError
from core.worksheets.worksheet import KINDS, WRONG, Task, Worksheet, packed
from tests import builders

PAIR = builders.experiment()
SHEET = Worksheet(
    "A <b>title</b>",
    "About €",
    "teaching",
    (
        Task("predict", "One", "Where?", PAIR, hint="There."),
        Task("find", "Two", "Which?", PAIR, find="strongest"),
        Task("diagnose", "Three", "What?", PAIR, wrong="no flip"),
        Task("explain", "Four", "Why?"),
    ),
    ("Patch", "Lens"),
)


def changed(**changes) -> str:
    return json.dumps(json.loads(SHEET.to_json()) | changes)


def task(**changes) -> str:
    return changed(tasks=[json.loads(SHEET.to_json())["tasks"][1] | changes])


def test_it_is_read_back_from_its_file_and_its_link():
    assert Worksheet.read(SHEET.to_json()) == SHEET == Worksheet.from_link(SHEET.to_link())
    assert len(SHEET.to_link()) < 1000


def test_all_tasks_are_asked_of_its_model():
    sheet = Worksheet.read(changed(model="gpt2"))
    assert {of.experiment.model for of in sheet.tasks if of.experiment} == {"gpt2"}
    assert sheet.digest != SHEET.digest == Worksheet.read(SHEET.to_json()).digest


REFUSED = {
    "": "The worksheet cannot be read as JSON",
    "[" * 100_000: "The worksheet cannot be read as JSON",
    "[]": "The worksheet is not a JSON object.",
    '{"is": NaN}': "NaN is not a number",
    "{}": "The file is not a Patchboard worksheet.",
    changed(title=3): "no text for “title”",
    changed(tasks={}): "no list of tasks",
    changed(tasks=[]): "needs at least one task",
    changed(tasks=json.loads(SHEET.to_json())["tasks"] * 20): "at most 60 tasks, and this one 80",
    changed(pages=[1]): "pages are not a list of titles",
    task(kind="dance"): f"no kind of task 'dance': choose one of {', '.join(KINDS)}.",
    task(experiment=None): "Task 1: The task “Two” (find) lacks its experiment.",
    task(find="gold"): "Task 1: 'gold' is not one of strongest, away, last position.",
    task(find=""): "Task 1: The task “Two” (find) lacks what is to be found",
    task(wrong="no flip"): "or has it and should not",
    task(experiment=PAIR.to_dict() | {"site": "head_z_position"}): "a site with three axes",
    task(experiment=[]): "Task 1: The experiment is not a JSON object.",
    task(experiment=PAIR.to_dict() | {"window": True}): "window should be a whole number.",
    task(experiment=PAIR.to_dict() | {"site": "nowhere"}): "There is no site 'nowhere'",
    task(experiment=PAIR.to_dict() | {"metric": "x" * 10**5}): "There is no metric 'xxxxxxx",
    task(experiment={"clean": "a"}): "The experiment has no text for “corrupted”.",
}


@pytest.mark.parametrize(("written", "says"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_no_worksheet_is_refused(written, says):
    with pytest.raises(UserError) as refusal:
        Worksheet.read(written)
    assert says in str(refusal.value) and len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "word", ["", "x", "é", "AAAA", SHEET.to_link()[:-9], packed("x" * 10_000_000)]
)
def test_a_damaged_link_is_said_to_be_one_and_a_bomb_is_not_unpacked(word):
    with pytest.raises(UserError, match=r"The link is damaged \(.+\): ask for it again\."):
        Worksheet.from_link(word)


def test_every_kind_of_mistake_is_said_in_a_sentence():
    assert len(WRONG) == 10
    assert all(says.endswith(".") for says in WRONG.values())
