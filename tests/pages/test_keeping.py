"""What the server keeps: each thing computed once, bounded, and freed with its model."""

import gc
import threading
import weakref

import pytest

from core import study
from core.engine import work
from pages.parts import jobs, keeping, running
from pages.parts.jobs import State
from tests import builders
from tests.pages.conftest import TITLES


@pytest.fixture
def counted(monkeypatch):
    """`counted(cls, "method")` is a list with one entry for every call."""

    def counted(owner, name: str) -> list:
        calls, original = [], getattr(owner, name)

        def call(*args, **kwargs):
            calls.append(args)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)
        return calls

    return counted


def test_the_plain_runs_of_a_pair_are_recorded_once_for_all_sites_and_pages(open_app, counted):
    recorded = counted(study, "recording")
    app = open_app().enter(metric="kl").enter(site="attn_out").enter(direction="noise")
    app.go_to("components").go_to("lens").go_to("compare")
    assert len(recorded) == 1
    app.go_to("patch").enter(bos=True)
    assert len(recorded) == 2


@pytest.mark.parametrize(
    ("page", "toggle", "name"),
    [
        ("patch", "follow", "trace"),
        ("lens", None, "logit_lens"),
        ("components", "preview", "head_preview"),
    ],
)
def test_what_takes_long_is_computed_once_and_not_at_every_click(
    open_app, counted, page, toggle, name
):
    calls = counted(study, name)
    app = open_app(embedding="0")

    def look() -> None:
        app.go_to(page)
        if page == "patch":
            app.choose("1", 2)
        if toggle:
            app.widget(toggle).set_value(True)
        app.run()

    look()
    once = len(calls)
    assert once == (2 if page == "lens" else 1)  # the lens reads both runs
    app.run().go_to("tokens")
    look()
    assert len(calls) == once


def test_a_finished_map_does_not_wait_for_anybodys_turn(open_app):
    app = open_app()
    with running._queue().turn(pytest.fail):  # a sweep of somebody else, under way
        app.choose("1", 1).enter(metric="kl")
    assert app.maps


def test_a_sweep_waits_for_its_turn(open_app):
    waited, app = threading.Event(), open_app()
    turn = running._queue().turn(pytest.fail)
    turn.__enter__()
    threading.Timer(0.5, lambda: (waited.set(), turn.__exit__(None, None, None))).start()
    app.enter(direction="noise")
    assert waited.is_set() and app.maps


def test_a_sweep_that_fails_says_so_and_can_be_tried_again(open_app, monkeypatch):
    monkeypatch.setattr("core.engine.suffix.step", lambda *args: 1 / 0)
    app = open_app()
    assert app.problems[0].startswith("Something broke")
    assert app.job.state is State.FAILED
    assert not app.at.get("download_button")
    monkeypatch.undo()
    app.press("Try again")
    assert app.maps and not app.problems and app.at.get("download_button")


def test_the_offer_to_run_says_how_much_memory_it_takes(open_app, monkeypatch):
    monkeypatch.setattr(jobs, "_ASK_ABOVE", -1)
    app = open_app()
    megabytes = app.job.memory / 1e6
    assert megabytes > 1
    assert any(f"{megabytes:,.0f} MB of memory" in node.value for node in app.at.markdown)


def test_what_the_machine_has_no_memory_for_is_refused(open_app, monkeypatch):
    monkeypatch.setattr(work, "available_memory", lambda: 100_000)
    app = open_app()
    assert "this machine has 0 MB left: shorten the texts" in app.problems[0]
    assert not app.maps
    monkeypatch.setattr(work, "available_memory", lambda: None)  # not every system tells
    assert app.run().maps


def test_a_session_keeps_so_many_bytes_and_the_oldest_go_first(open_app, sweeps, monkeypatch):
    app = open_app()
    kept = keeping.shelf("teaching")._of[app.at.session_state.session]
    one = sum(thing.nbytes for thing in kept.values())
    assert one > 100_000
    monkeypatch.setattr(keeping, "BUDGET", 2.5 * one)
    for title in TITLES[1:5]:
        app.press(title)
        assert sum(thing.nbytes for thing in kept.values()) <= 2.5 * one
    begun = len(sweeps)
    app.press(TITLES[4])  # kept
    assert len(sweeps) == begun
    app.press(TITLES[0])  # gone
    assert len(sweeps) == begun + 1


def test_a_model_that_makes_room_for_another_is_freed(open_app, monkeypatch, tmp_path):
    """Whatever sessions have computed on it."""
    for name in ("one", "two", "three"):
        builders.write_model_folder(tmp_path / "models" / name)
    monkeypatch.setenv("PATCHBOARD_MODELS", str(tmp_path / "models"))
    keeping._shelf.clear()
    typed = {"clean": builders.CLEAN, "corrupted": builders.CORRUPTED}
    app = open_app(**typed, target=" Lee", foil=" Poe", model="local/one")
    assert app.maps
    first = weakref.ref(keeping.shelf("local/one").model.gpt)
    app.enter(model="local/two")
    assert first() is not None
    app.enter(model="local/three").run()
    gc.collect()
    assert first() is None
    keeping._shelf.clear()


def test_a_model_whose_files_have_changed_is_loaded_anew(open_app, monkeypatch, tmp_path):
    folder = builders.write_model_folder(tmp_path / "models" / "mine")
    monkeypatch.setenv("PATCHBOARD_MODELS", str(tmp_path / "models"))
    typed = {"clean": builders.CLEAN, "corrupted": builders.CORRUPTED}
    app = open_app(**typed, target=" Lee", foil=" Poe", model="local/mine")
    before = app.map
    other = builders.random_gpt(3, 2, 8, vocab_size=276, block_size=24, seed=7)
    other.save_pretrained(folder)
    assert (app.run().map != before).any()


def test_the_runs_of_a_pair_go_after_all_that_needs_them(open_app, monkeypatch):
    """Or they would be there still, uncounted."""
    app = open_app()
    kept = keeping.shelf("teaching")._of[app.at.session_state.session]
    app.go_to("lens").go_to("components").go_to("patch")
    monkeypatch.setattr(keeping, "_MOST", 3)
    app.press(TITLES[1])
    left = [what for texts, what in kept if texts.corrupted != app.experiment.corrupted]
    assert left == ["runs"]


def test_what_is_asked_for_stays_however_large(open_app, monkeypatch, sweeps):
    monkeypatch.setattr(keeping, "BUDGET", 1)
    app = open_app().enter(metric="kl").run()
    assert app.maps and len(sweeps) == 1
