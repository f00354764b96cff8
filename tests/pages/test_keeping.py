"""What the server keeps: each thing computed once, bounded, and freed with its model."""

import gc
import threading
import weakref
from types import SimpleNamespace

import pytest
from streamlit.util import AttributeDictionary

from core import models, study
from core.engine import work
from core.many.answer import Answer
from core.many.survey import Survey
from core.sets import Sets
from core.study import Study
from mingpt.model import GPT
from pages.parts import keeping, running, sessions
from pages.parts.jobs import Job, State
from tests import builders
from tests.pages.conftest import PAGES, TITLES

_HEADS = "clean,corrupted,target,foil"
_ROW = '"Anna Lee met Bob Ray. Anna","Anna Poe met Bob Ray. Anna"," Lee"," Poe"'


@pytest.fixture
def counted(monkeypatch):
    """`counted("name")` is a list with one entry for every call of that function of `study`."""

    def counted(name: str) -> list:
        calls, original = [], getattr(study, name)

        def call(*args, **kwargs):
            calls.append(args)
            return original(*args, **kwargs)

        monkeypatch.setattr(study, name, call)
        return calls

    return counted


def test_the_plain_runs_of_a_pair_are_recorded_once_for_all_sites_and_pages(open_app, counted):
    recorded = counted("recording")
    app = open_app().enter(metric="kl").enter(site="attn_out").enter(direction="noise")
    app.go_to("components").go_to("lens").go_to("compare")
    assert len(recorded) == 1
    app.go_to("patch").enter(bos=True)
    assert len(recorded) == 2


@pytest.mark.parametrize(
    ("page", "toggle", "name", "times"),
    [
        ("patch", "follow", "trace", 1),
        ("lens", None, "logit_lens", 2),  # it reads both runs
        ("components", "preview", "head_preview", 1),
    ],
)
def test_what_takes_long_is_computed_once_and_not_at_every_click(
    open_app, counted, page, toggle, name, times
):
    calls = counted(name)
    app = open_app(embedding="0")
    for _ in range(2):
        app.go_to(page)
        if page == "patch":
            app.choose("1", 2)
        if toggle:
            app.widget(toggle).set_value(True)
        app.run().run().go_to("tokens")
        assert len(calls) == times


def test_a_finished_map_does_not_wait_for_anybodys_turn(open_app):
    app = open_app()
    with running._queue.turn("another", pytest.fail):  # a sweep of somebody else, under way
        app.choose("1", 1).enter(metric="kl")
    assert app.maps


def test_a_sweep_waits_for_its_turn(open_app):
    waited, app = threading.Event(), open_app()
    turn = running._queue.turn("another", pytest.fail)
    turn.__enter__()
    threading.Timer(0.5, lambda: (waited.set(), turn.__exit__(None, None, None))).start()
    app.enter(direction="noise")
    assert waited.is_set() and app.maps


def test_a_sweep_that_fails_says_so_and_can_be_tried_again(open_app, monkeypatch):
    monkeypatch.setattr("core.engine.tiles.step", lambda *args: 1 / 0)
    app = open_app()
    assert app.problems[0].startswith("Something broke")
    assert app.job.state is State.FAILED
    assert not app.at.get("download_button")
    monkeypatch.undo()
    app.press("Try again")
    assert app.maps and not app.problems and app.at.get("download_button")


def test_what_the_machine_has_no_memory_for_is_refused(open_app, monkeypatch):
    monkeypatch.setattr(work, "available_memory", lambda: 100_000)
    app = open_app()
    assert "this machine has 0 MB left: shorten the texts" in app.problems[0]
    assert not app.maps
    monkeypatch.setattr(work, "available_memory", lambda: None)  # not every system tells
    assert app.run().maps


def bytes_of(app) -> int:
    shelf = keeping.shelf(app.experiment.model)
    return sum(thing.nbytes for thing in shelf._of[app.at.session_state.session].values())


def test_a_session_keeps_so_many_bytes_and_the_oldest_go_first(open_app, sweeps, monkeypatch):
    app = open_app()
    one = bytes_of(app)
    assert one > 100_000
    monkeypatch.setenv("PATCHBOARD_SESSION_MEMORY", f"{int(2.5 * one)}")
    for title in TITLES[1:5]:
        app.press(title)
        assert bytes_of(app) <= 2.5 * one
    begun = len(sweeps)
    app.press(TITLES[4])  # kept
    assert len(sweeps) == begun
    app.press(TITLES[0])  # gone
    assert len(sweeps) == begun + 1


def test_what_sessions_share_is_so_many_bytes_and_the_oldest_goes_first(monkeypatch):
    """It outlives the session that made it, and the newest stays, however large."""
    shelf = keeping.Shelf(None)

    def job(size: int) -> Job:
        return Job(iter, of=SimpleNamespace(nbytes=size * 1_000_000))

    def another_session() -> None:
        monkeypatch.setattr(sessions.st, "session_state", AttributeDictionary())

    another_session()
    jobs = {name: shelf.keep(None, name, lambda: job(4)) for name in "abc"}
    for one in jobs.values():
        shelf.share(one)
    monkeypatch.setenv("PATCHBOARD_SESSION_MEMORY", "11000000")
    large = shelf.keep(None, "large", lambda: job(6))
    shelf.share(large)
    another_session()
    gone, there = job(1), job(1)
    assert shelf.keep(None, "b", lambda: gone) is gone
    assert shelf.keep(None, "c", lambda: there) is jobs["c"]
    assert shelf.keep(None, "large", lambda: there) is large
    monkeypatch.setenv("PATCHBOARD_SESSION_MEMORY", "1000000")
    shelf.share(large)
    assert [thing.kept for thing in shelf._of[keeping._EVERYBODY].values()] == [large]


def test_all_sessions_and_models_share_one_budget_and_the_oldest_go_first(
    open_app, sweeps, monkeypatch
):
    keeping._loaded.clear()
    gc.collect()
    monkeypatch.setattr(sessions, "_here", type(sessions._here)())
    apps = [open_app(direction=of) for of in ("denoise", "noise", "zero")]  # no sweep is shared
    one = bytes_of(apps[0])
    model = keeping.shelf("teaching").nbytes
    held = keeping.total() - model - 3 * one  # of what was written
    assert 0 < held < one
    budget = model + held + int(2.5 * one)
    monkeypatch.setenv("PATCHBOARD_MEMORY", str(budget))
    apps[2].run()  # nothing new is needed, but what is used longest ago has to go
    assert keeping.total() <= budget
    begun = len(sweeps)
    for app in (apps[2], apps[1]):
        app.run()
    assert len(sweeps) == begun
    monkeypatch.delenv("PATCHBOARD_MEMORY")
    apps[0].run()
    assert len(sweeps) == begun + 1


def test_what_a_session_kept_goes_when_its_tab_is_closed(open_app):
    app, other = open_app(), open_app()
    before, own = keeping.total(), bytes_of(app)
    keeping.forget(app.at.session_state.session)
    assert own > 100_000 and keeping.total() == before - own
    assert bytes_of(other) == own


def test_a_model_that_makes_room_for_another_is_freed(open_app, folders, monkeypatch):
    """Whatever sessions have computed on it."""
    for name in ("two", "three"):
        builders.write_model_folder(folders / name)
    app = open_app(**builders.experiment(model="local/tiny").to_query())
    assert app.maps
    first = weakref.ref(keeping.shelf("local/tiny").model.gpt)
    app.enter(model="local/two")
    assert first() is not None
    monkeypatch.setenv("PATCHBOARD_MEMORY", str(keeping.total()))
    app.enter(model="local/three").run()
    gc.collect()
    assert first() is None
    assert keeping.is_loaded("local/three")


def test_what_has_made_room_is_held_by_no_button(open_app, folders, monkeypatch):
    """What a callback holds Streamlit keeps for as long as a session lasts."""
    monkeypatch.setattr(running, "_SHOW_AFTER", -1.0)  # all work says what it does, with a button
    app = open_app(**builders.experiment(model="local/tiny").to_query())
    for page in PAGES:
        app.go_to(page)
        if page == "many":
            app.widget("pairs_pack").set_value("own")
            app.run().widget("pasted_pairs").set_value(f"{_HEADS}\n{_ROW}")
            app.run().press("Run 1 pair").choose("1", 2)
    shelf = keeping.shelf("local/tiny")
    jobs = [thing.kept for thing, _, _ in shelf.things() if isinstance(thing.kept, Job)]
    answers = [of for of in gc.get_objects() if type(of) is Answer]
    kinds = {type(of): of for of in [*jobs, *answers, *(job.of for job in jobs), shelf.model.gpt]}
    assert {Job, Answer, Study, Sets, Survey, GPT} <= {*kinds}
    held = [weakref.ref(of) for of in (*jobs, *answers, shelf.model.gpt)]
    del jobs, shelf, kinds, answers
    app.go_to("patch").enter(model="teaching")
    keeping._loaded.clear()
    keeping.checks_of.cache_clear()
    app.go_to("open").run()
    gc.collect()
    assert [of() for of in held if of() is not None] == []


def test_a_model_for_which_there_is_no_room_is_refused_before_it_is_loaded(
    open_app, folders, monkeypatch
):
    monkeypatch.setenv("PATCHBOARD_MEMORY", "1k")
    monkeypatch.setattr(models, "load", lambda entry: pytest.fail("it was loaded"))
    app = open_app(**builders.experiment(model="local/tiny").to_query())
    assert "this server may use 0 MB more" in app.problems[0]


def test_a_model_whose_files_have_changed_is_loaded_anew(open_app, folders):
    app = open_app(**builders.experiment(model="local/tiny").to_query())
    before = app.map
    other = builders.random_gpt(3, 2, 8, vocab_size=276, block_size=24, seed=7)
    other.save_pretrained(folders / "tiny")
    assert (app.run().map != before).any()


def test_the_runs_of_a_pair_go_after_all_that_needs_them(open_app, monkeypatch):
    """Or they would be there still, uncounted."""
    app = open_app()
    app.go_to("lens").go_to("components").go_to("patch")
    monkeypatch.setattr(keeping, "_MOST", 3)
    app.press(TITLES[1])
    left = [what for texts, what in app.kept if texts.corrupted != app.experiment.corrupted]
    assert left == ["runs"]


def test_what_is_asked_for_stays_however_large(open_app, monkeypatch, sweeps):
    app = open_app()
    most = app.at.session_state.session.holds + 10_000  # for what is written and typed
    assert most < 200_000 < 2 * bytes_of(app)
    monkeypatch.setenv("PATCHBOARD_SESSION_MEMORY", str(most))
    app.enter(direction="noise").enter(metric="kl").run()
    assert app.maps and len(sweeps) == 2
