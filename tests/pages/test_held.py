"""What a session holds of what was brought and written: it counts, and it has a bound."""

import json
import tracemalloc

import pytest

from core.views import exports
from core.weight import weigh
from pages.parts import keeping, sessions
from pages.parts.settings import setting

HEADS = "clean,corrupted,target,foil\n"
ROW = "The key near it,The keys near it, is, are\n"


def paste(app, rows: str):
    app.go_to("many").widget("pairs_pack").set_value("own")
    app.run().widget("pasted_pairs").set_value(rows)
    return app.run()


def holds(app) -> int:
    return app.at.session_state.session.holds


@pytest.mark.parametrize(
    "value",
    [
        "a" * 10**6,
        [float(i) for i in range(10**5)],
        [{"id": str(i), "values": [float(i)] * 3} for i in range(10**4)],
        {str(i): [[float(i), float(-i)]] for i in range(10**4)},
        {str(i): [] for i in range(30)} | {"one": ["a" * 10**6]},
    ],
    ids=["text", "numbers", "rows", "by name", "one of many"],
)
def test_a_value_is_weighed_with_all_that_it_is_made_of(value):
    written = json.dumps(value)
    tracemalloc.start()
    value = json.loads(written)
    real, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.9 * real < weigh(value) < 1.6 * real  # names that many rows have count for each
    assert weigh(value, [value]) < weigh(value) + 100 or isinstance(value, str)


def test_pairs_that_were_brought_count_among_all_that_is_kept_and_are_bounded(
    open_app, monkeypatch
):
    app, rows = open_app(), HEADS + ROW * 500
    own = holds(app)
    paste(app, rows)
    brought = holds(app) - own
    assert brought > 10 * len(rows)
    counted = keeping.total()
    with monkeypatch.context() as nobody:
        nobody.setattr(sessions, "present", list)
        assert counted - keeping.total() >= own + brought
    monkeypatch.setenv("PATCHBOARD_SESSION_MEMORY", str(holds(app) + brought // 2))
    app.run()
    assert app.problems == []
    more = rows + ROW * 1500
    assert "what was pasted would take" in paste(app, more).problems[0]
    assert app.widget("pasted_pairs").value == more  # nothing of it is lost
    assert not paste(app, HEADS + ROW).problems


def test_a_saved_file_that_would_be_too_much_is_not_opened(open_app, answer, monkeypatch):
    app = open_app().go_to("open")
    monkeypatch.setenv("PATCHBOARD_SESSION_MEMORY", str(holds(app) + 3 * 10**6))
    saved = json.loads(exports.to_json(answer(app.experiment)))
    content = json.dumps(saved | {"more": [[0.5]] * 10**5}).encode()
    app.at.file_uploader[0].upload("large.json", content, "application/json")
    assert "“large.json” would take 1" in app.run().problems[0]


def test_who_has_written_too_much_loses_nothing_but_nothing_more_is_computed(
    open_app, monkeypatch, sweeps
):
    app = open_app()
    monkeypatch.setenv("PATCHBOARD_SESSION_MEMORY", str(holds(app) + 10**6))
    app.at.session_state.written = "a" * 2 * 10**6
    app.enter(direction="noise")
    assert "What you have brought and written takes 2 MB" in app.problems[0]
    assert app.experiment.direction == "noise" and len(sweeps) == 1
    app.at.session_state.written = ""
    assert app.run().maps and not app.problems


def test_of_files_that_are_too_many_the_first_go_and_the_person_is_told(open_app, monkeypatch):
    app = open_app(do="check").go_to("worksheet")
    monkeypatch.setenv("PATCHBOARD_SESSION_MEMORY", str(holds(app) + 5 * 10**5))
    files = [(f"{n}.json", b" " * 2 * 10**5, "application/json") for n in range(4)]
    app.at.file_uploader[0].set_value(files)
    app.run()
    assert "your files take more: the first 2 of them were put away" in app.problems[0]
    assert holds(app) < setting("PATCHBOARD_SESSION_MEMORY")
