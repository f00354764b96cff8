"""What whoever serves Patchboard can set, and who is let in."""

import os
from dataclasses import replace

import pytest

from core.engine import work
from core.errors import UserError
from pages.parts import serving, sessions, settings
from pages.parts.settings import SETTINGS, setting
from tests import builders

SAYS = [  # variable, what it is set to, what that means
    ("MEMORY", "8GB", 8 * 10**9),
    ("MEMORY", " 1.5 gb ", 1_500_000_000),
    ("SESSION_MEMORY", "500m", 500_000_000),
    ("FREE_SECONDS", "0.5", 0.5),
    ("LINK_SECONDS", "0", 0.0),
    ("SESSION_SECONDS", "600", 600.0),
    ("SESSIONS", "30", 30),
    ("LONGEST", "128", 128),
    ("ALLOWED", "gpt2, local/ours", ("gpt2", "local/ours")),
    ("STATUS", "60", 60.0),
]


@pytest.fixture(autouse=True)
def prepared_anew():
    serving._prepare.cache_clear()
    yield
    serving._prepare.cache_clear()


@pytest.mark.parametrize(("name", "text", "value"), SAYS)
def test_a_setting_is_read_from_its_variable(monkeypatch, name, text, value):
    monkeypatch.setenv(f"PATCHBOARD_{name}", text)
    assert setting(f"PATCHBOARD_{name}") == value
    settings.check()


def test_every_setting_is_tried_here_and_documented(pytestconfig):
    assert {f"PATCHBOARD_{name}" for name, _, _ in SAYS} == SETTINGS.keys()
    written = (pytestconfig.rootpath / "docs" / "serving.md").read_text(encoding="utf-8")
    assert [
        name for name, of in SETTINGS.items() if f"| `{name}` | {of.says} |" not in written
    ] == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("MEMORY", "much", "PATCHBOARD_MEMORY is 'much': it takes a size, such as 500MB or 8GB."),
        ("MEMORY", "0", "it takes a size"),
        ("SESSIONS", "0", "it takes a whole number from 1 on."),
        ("LONGEST", "²", "it takes a whole number"),
        ("STATUS", "-1", "it takes a number of seconds, such as 15 or 0.5."),
        ("FREE_SECONDS", "9" * 5000, "PATCHBOARD_FREE_SECONDS is '9999"),
    ],
)
def test_a_setting_that_means_nothing_is_said_to_whoever_opens_a_page(
    open_app, monkeypatch, name, text, says
):
    monkeypatch.setenv(f"PATCHBOARD_{name}", text)
    with pytest.raises(UserError) as caught:
        setting(f"PATCHBOARD_{name}")
    assert says in str(caught.value)
    app = open_app()
    assert says in app.problems[0] and not app.maps
    monkeypatch.undo()
    assert app.run().maps


def test_by_default_half_of_what_the_machine_or_its_container_has_is_kept(monkeypatch):
    monkeypatch.setattr(work, "_of_machine", lambda name: [16 * 10**9])
    monkeypatch.setattr(work, "_of_container", lambda name: [])
    assert setting("PATCHBOARD_MEMORY") == 8 * 10**9
    monkeypatch.setattr(
        work, "_of_container", lambda name: {"memory.max": [4 * 10**9]}.get(name, [])
    )
    assert setting("PATCHBOARD_MEMORY") == 2 * 10**9
    monkeypatch.setattr(work, "_of_machine", lambda name: [])
    monkeypatch.setattr(work, "_of_container", lambda name: [])
    assert setting("PATCHBOARD_MEMORY") > 10**15  # nothing tells


def test_far_too_many_threads_are_refused_in_words(open_app, monkeypatch):
    most = 8 * os.cpu_count()
    for number in (most + 1, 999):
        monkeypatch.setenv("PATCHBOARD_THREADS", str(number))
        says = f"PATCHBOARD_THREADS is {number}, far more than this machine has processors"
        with pytest.raises(UserError, match=says):
            work.choose_threads()
        assert says in open_app().problems[0]


def test_a_server_takes_so_many_sessions_and_the_others_later(open_app, monkeypatch):
    monkeypatch.setattr(sessions, "_here", type(sessions._here)())
    monkeypatch.setenv("PATCHBOARD_SESSIONS", "2")
    one, other = open_app(), open_app()
    third = open_app()
    assert "as many visitors as it takes" in third.problems[0] and not third.maps
    assert one.run().maps and other.maps
    sessions._here.discard(one.at.session_state.session)  # whose tab was closed
    assert third.run().maps


def test_only_the_models_that_are_allowed_are_offered_and_loaded(open_app, folders, monkeypatch):
    builders.write_model_folder(folders / "ours")
    monkeypatch.setenv("PATCHBOARD_ALLOWED", "local/ours")
    asked = builders.experiment(model="local/tiny")
    app = open_app(**asked.to_query())
    assert app.notes[0].startswith("This server does not offer 'local/tiny': choose teaching, ")
    assert app.experiment.model == "teaching"
    assert app.widget("chosen_model").options == ["Teaching model", "local/ours"]
    assert open_app(**replace(asked, model="local/ours").to_query()).maps
    app.at.session_state.field_model = "local/tiny"  # as no page would say
    app.run()
    assert "does not offer" in app.problems[0] and not app.maps


def test_a_text_longer_than_the_server_takes_is_refused(open_app, monkeypatch):
    monkeypatch.setenv("PATCHBOARD_LONGEST", "5")
    app = open_app()
    assert "5" in app.problems[0] and not app.maps
    assert app.go_to("is it right").problems
    monkeypatch.setenv("PATCHBOARD_LONGEST", "100")
    assert app.go_to("patch").maps


def test_the_status_line_tells_how_the_server_is_and_nothing_of_anybody(open_app):
    app = open_app(clean="The secret of Anna", target=" Jones")
    line = serving.status()
    assert line.startswith(f"sessions {len(sessions.present())}, queue 0, models ")
    assert " kept " in line and "secret" not in line and app.experiment.target not in line
