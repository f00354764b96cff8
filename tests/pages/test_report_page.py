"""The page "Report", without a browser: what is found is put there, and nothing typed is lost."""

import json

import pytest
import streamlit as st
from streamlit.runtime.context import ContextProxy

from core.report.notebook import Report
from pages.parts import notebook
from tests.builders import HOSTILE
from tests.pages.test_open_page import opened


@pytest.fixture(autouse=True)
def no_reports():
    notebook._all.clear()


@pytest.fixture
def same_browser(monkeypatch):
    """From here on every new session is of the browser of this one: a reload, or another tab."""

    def same_browser(app) -> None:
        cookie = {"patchboard_report": app.at.session_state.report_key}
        monkeypatch.setattr(ContextProxy, "cookies", cookie)

    return same_browser


def report_of(app) -> Report:
    return notebook._all[app.at.session_state.report_key].report


def added(app, page: str = "patch"):
    """The app with what a page shows in the report."""
    label = next(label for label in app.go_to(page).buttons if label.startswith("Add to the rep"))
    return app.press(label)


def write(app, **texts: str):
    for name, text in texts.items():
        app.widget(f"report_{name}").set_value(text)
    return app.run()


def told(app) -> list[str]:
    """What a reader would miss."""
    return [text for body, text in zip(app.bodies, app.texts, strict=True) if "pb-items" in body]


PAGES_WITH_ANSWERS = ["patch", "components", "follow", "sets", "lens", "compare"]


@pytest.mark.parametrize("page", PAGES_WITH_ANSWERS)
def test_what_a_page_shows_is_put_into_the_report(open_app, page):
    app = added(open_app(set="6.3 mlp2"), page)
    assert any("has 1 finding now" in note for note in app.notes)
    (found,) = report_of(app).findings
    asked = app.experiment
    app.go_to("report")
    assert app.widget(f"report_title_{found.id}").value == found.title
    assert app.maps or page in ("lens", "sets")
    code = app.at.session_state.report_code.get(found.id, {})
    assert len(code) == {"patch": 1, "components": 4, "compare": 2}.get(page, 0)
    assert all(source.startswith("# ") for source in code.values())
    caption = next(text for text in app.texts if "Clean text:" in text)
    for part in (asked.clean, asked.corrupted, '" Jones"', "29e28e213b3a"):
        assert part in caption


def test_the_menu_says_how_many_findings_there_are_at_the_same_address(open_app, monkeypatch):
    listed, navigation = {}, st.navigation

    def seen(pages, **options):
        listed.clear()
        listed.update({page.url_path: page.title for of in pages.values() for page in of})
        return navigation(pages, **options)

    monkeypatch.setattr(st, "navigation", seen)
    app = open_app()
    assert listed["report"] == "Report"
    added(added(app), "lens")
    assert listed["report"] == "Report (2)"
    app.go_to("report").press("Begin anew")
    assert listed["report"] == "Report"


def test_the_map_of_many_pairs_is_put_into_the_report_with_how_many(open_app):
    app = open_app(keep="flips").go_to("many")
    app.press(next(label for label in app.buttons if label.startswith("Run ")))
    added(app, "many").go_to("report")
    assert any("95% intervals of a bootstrap" in text for text in app.texts)
    assert len(app.maps) == 1


def test_what_was_written_is_there_after_a_reload(open_app, same_browser):
    app = added(open_app()).go_to("report")
    (found,) = report_of(app).findings
    write(app, title="T", introduction=" **So**\n\n<b>", **{f"words_{found.id}": "It shows."})
    same_browser(app)
    again = open_app().go_to("report")
    assert again.widget("report_introduction").value == " **So**\n\n<b>"
    assert again.widget("report_title").value == "T"
    assert again.widget(f"report_words_{found.id}").value == "It shows."
    assert any("4 words of your own" in text for text in again.texts)


def test_two_tabs_write_one_report_and_no_text_is_lost(open_app, same_browser):
    one = open_app().go_to("report")
    same_browser(one)
    other = open_app().go_to("report")
    write(one, introduction="From the first.")
    write(other, discussion="From the second.")
    assert other.widget("report_introduction").value == "From the first."
    write(one, conclusion="First.")
    other.widget("report_conclusion").set_value("Second.")  # typed before that was seen
    other.run()
    report = report_of(one)
    assert report.discussion == "From the second." and report.introduction == "From the first."
    assert report.conclusion == "First.\n\nSecond." == other.widget("report_conclusion").value


def test_another_browser_has_a_report_of_its_own(open_app):
    write(open_app().go_to("report"), introduction="Mine.")
    assert open_app().go_to("report").widget("report_introduction").value == ""


def test_what_was_typed_before_the_server_was_restarted_is_taken_over(open_app):
    app = open_app()
    app.at.session_state["report_introduction"] = "Typed on the page that stayed open."
    app.go_to("report")
    assert report_of(app).introduction == "Typed on the page that stayed open."


def test_a_report_outlives_the_server_with_what_was_typed_since(open_app, same_browser):
    app = added(open_app()).go_to("report")
    (found,) = report_of(app).findings
    write(app, introduction="Before.", **{f"words_{found.id}": "It shows."})
    same_browser(app)
    notebook._all.clear()  # as if it had been started anew, while the page stayed open
    again = open_app()
    again.at.session_state[f"report_words_{found.id}"] = "It shows. Typed meanwhile."
    again.go_to("report")
    assert again.widget("report_introduction").value == "Before." and again.maps
    assert report_of(again).findings[0].words == "It shows. Typed meanwhile."
    assert not any("but not when the server is started anew" in text for text in again.texts)


def test_where_none_is_written_to_the_disk_the_page_says_so_beforehand(open_app, monkeypatch):
    monkeypatch.setenv("PATCHBOARD_REPORTS", "")
    app = open_app().go_to("report")
    assert any("but not when the server is started anew: save it" in text for text in app.texts)


def test_what_was_typed_is_there_after_an_error_in_the_middle_of_the_page(open_app, monkeypatch):
    app = added(open_app()).go_to("report")
    (found,) = report_of(app).findings
    with monkeypatch.context() as broken:
        broken.setattr("core.report.method.method", lambda of: 1 / 0)
        app.widget("report_introduction").set_value("Why?")
        app.widget(f"report_words_{found.id}").set_value("It shows.")
        app.at.run()
        assert app.at.exception
    app.run()
    assert app.widget("report_introduction").value == "Why?"
    assert app.widget(f"report_words_{found.id}").value == "It shows."


def test_the_method_follows_the_findings_until_it_is_edited(open_app):
    app = added(open_app()).go_to("report")
    assert "residual stream (resid_post)" in app.widget("report_method").value
    added(app, "lens").go_to("report")
    generated = app.widget("report_method").value
    assert "logit lens" in generated.lower() and report_of(app).method is None
    write(app, method="My own.")
    added(app, "follow").go_to("report")
    assert app.widget("report_method").value == "My own."
    app.press("Generate it again from the findings")
    assert "path patching" in app.widget("report_method").value


def test_findings_are_moved_and_removed_and_that_is_undone(open_app):
    app = open_app()
    for page in ("patch", "lens", "follow"):
        added(app, page)
    first, second, third = (of.id for of in report_of(app).findings)
    app.go_to("report").widget(f"Down_{first}").click()
    app.run()
    assert [of.id for of in report_of(app).findings] == [second, first, third]
    app.widget(f"remove_{first}").click()
    app.run()
    assert [of.id for of in report_of(app).findings] == [second, third]
    assert len(report_of(app.press("Undo")).findings) == 3
    assert not report_of(app.press("Begin anew")).findings
    assert len(report_of(app.press("Undo")).findings) == 3


def test_the_words_are_counted_against_limits_that_can_be_set(open_app):
    app = write(open_app().go_to("report"), introduction="one two three")
    assert any("3 words of your own, of 1,000 to 1,500" in text for text in app.texts)
    assert "997 words too few" in told(app)[0]
    app.widget("report_most").set_value(2)
    app.run()
    assert (report_of(app).least, report_of(app).most) == (2, 2)
    assert "1 word too many" in told(app)[0]


def test_a_saved_report_opens_in_the_place_of_the_other_which_is_not_lost(open_app):
    app = added(open_app()).go_to("report")
    file = report_of(write(app, title="Saved")).to_json()
    write(app, title="Another", discussion="More.")
    opened(open_app, file, "patchboard-report.json", app).go_to("report")
    assert app.widget("report_title").value == "Saved"
    assert len(report_of(app).findings) == 1 and report_of(app).discussion == ""
    assert report_of(app.press("Undo")).discussion == "More."
    data = json.loads(file) | {"authors": None}
    problems = opened(open_app, json.dumps(data), "patchboard-report.json", app).problems
    assert problems and report_of(app).discussion == "More."


def test_a_report_that_is_full_says_so_and_keeps_what_it_has(open_app, monkeypatch):
    app = added(open_app())
    monkeypatch.setattr("core.report.notebook.MOST_FINDINGS", 1)
    app = added(app)
    assert app.problems == ["A report has at most 1 findings: remove one first."]
    assert len(report_of(app).findings) == 1


def test_nothing_that_is_typed_is_markup(open_app):
    app = added(open_app()).go_to("report")
    (found,) = report_of(app).findings
    text = " ".join(HOSTILE[:7])
    write(app, title=text, introduction=text, **{f"title_{found.id}": text})
    assert not any("<script>" in body for body in app.bodies)
    assert not any(text in string for kind, string in app.strings() if kind == "markdown")
    assert any(text[:20] in said for said in told(app))


def test_of_too_many_reports_those_that_were_not_used_for_longest_go(open_app, monkeypatch):
    monkeypatch.setattr(notebook, "_MOST", 2)
    apps = [open_app().go_to("report") for _ in range(3)]
    for number, app in enumerate(apps):
        write(app, introduction=f"Number {number}.")
    assert [of.report.introduction for of in notebook._all.values()] == ["Number 1.", "Number 2."]
    write(apps[0], discussion="More.")  # who still is at it has lost nothing
    assert report_of(apps[0]).introduction == "Number 0."
