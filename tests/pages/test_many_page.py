"""The page "Many pairs", without a browser: what `core` says of each pair, put together."""

import re
from dataclasses import replace

import numpy as np
import pytest

from core.many import packs, pairs
from core.many.pairs import Pair
from core.question.experiment import Experiment
from pages.parts import jobs, keeping
from tests.pages.conftest import values

MADE = packs.PACKS["teaching-ioi"].make()[:6]
WRONG = Pair("wrong", 0, "Mary was sad", "John was very sad", (" she",), (" he",))
FILE = pairs.write([*MADE, WRONG])


@pytest.fixture(autouse=True)
def nothing_is_shared():
    """Each test is the first visit to the server, as far as maps go."""
    keeping.shelf("teaching").drop(keeping._EVERYBODY)


def opened(open_app, file: str | None = FILE, **query):
    """A visit to the page, with a file pasted into it."""
    app = open_app(**query).go_to("many")
    if file is not None:
        app.widget("pairs_pack").set_value("own")
        app.run()
        app.widget("pasted_pairs").set_value(file)
        app.run()
    return app


def by_role(answer, pair: Pair, asked: Experiment) -> tuple[np.ndarray, float, float]:
    """What a study of one pair says: its map by role, and both plain runs, as LD."""
    (target,), (foil,) = pair.target, pair.foil
    texts = {"clean": pair.clean, "corrupted": pair.corrupted, "target": target, "foil": foil}
    result = answer(replace(asked, **texts))

    def tokens(text: str) -> int:  # of these texts, a token for each word and comma
        return len(re.findall(r"\w+|,", text))

    places = [tokens(pair.clean[: span.end]) - 1 for span in pair.clean_roles]
    places.append(tokens(pair.clean) - 1)
    assert len(result.clean) == tokens(pair.clean)
    baseline = result.baselines["logit_diff"]
    return result.grids["logit_diff"][:, places], baseline.clean, baseline.corrupted


def test_the_map_is_the_ratio_of_means_of_every_pair_by_itself(open_app, answer):
    app = opened(open_app, metric="recovery")
    assert not app.maps and any("7 given (1 cannot be used)" in text for text in app.texts)
    app.press("Run 6 pairs")
    above, below = 0, 0
    for pair in MADE:
        grid, clean, corrupted = by_role(answer, pair, app.experiment)
        above, below = above + (grid - corrupted), below + (clean - corrupted)
    np.testing.assert_allclose(values(app.maps[0]), above / below, atol=1e-3)
    assert any("6 used of 7 given" in text for text in app.texts)


def test_another_site_of_pairs_that_were_run_follows_by_itself_and_other_pairs_ask(open_app):
    app = opened(open_app)
    app.press("Run 6 pairs").enter(site="head_z")
    assert values(app.maps[0]).shape == (8, 4)
    app.enter(metric="kl")
    assert app.maps and not [label for label in app.buttons if label.startswith("Run")]
    app.widget("pasted_pairs").set_value(pairs.write(MADE[:3]))
    assert "Run 3 pairs" in app.run().buttons and not app.maps


def test_a_link_begins_nothing_whatever_it_asks_for(open_app, sweeps):
    app = open_app(pack="teaching-gender", keep="flips", site="head_q")
    del sweeps[:]
    app.go_to("many")
    assert "Run 200 pairs" in app.buttons and not sweeps
    assert {"pack": "teaching-gender", "keep": "flips"}.items() <= app.query.items()


def test_the_address_holds_how_a_pack_is_used_and_opens_as_such(open_app):
    app = opened(open_app, None)
    app.widget("pairs_pack").set_value("teaching-surname")
    app.widget("pairs_keep").set_value("first")
    app.widget("pairs_roles").set_value("mean")
    app.widget("pairs_rest").set_value(True)
    app.run()
    assert {"pack": "teaching-surname", "keep": "first", "roles": "mean", "rest": "1"}.items() <= (
        app.query.items()
    )
    again = opened(open_app, None, **app.query)
    assert again.query == app.query
    assert again.widget("pairs_keep").value == "first"
    assert not again.go_to("lens").query.keys() & {"pack", "keep"}
    assert again.go_to("many").widget("pairs_pack").value == "teaching-surname"


def test_a_chosen_cell_says_what_every_pair_says_and_opens_one_by_itself(open_app):
    app = opened(open_app, metric="recovery").press("Run 6 pairs").choose("4", 4)
    strip = next(of for of in app.figures if of["data"][0]["type"] == "scatter")
    dots = [dot for trace in strip["data"] for dot in trace["customdata"]]
    assert sorted(int(dot[0]) for dot in dots) == list(range(6))
    (table,) = app.tables
    assert {row["id"] for row in table} == {pair.id for pair in MADE}
    shown = [float(row["own share"]) for row in table]
    median = np.median(shown)
    distances = [abs(value - median) for value in shown]
    assert distances == pytest.approx(sorted(distances, reverse=True), abs=1e-3)
    app.at.session_state["chosen_pair"] = MADE[2].line
    app.run().press("Open this pair by itself")
    asked = app.experiment
    assert (asked.clean, asked.corrupted) == (MADE[2].clean, MADE[2].corrupted)
    assert (asked.target, asked.foil) == (*MADE[2].target, *MADE[2].foil)
    assert app.map.shape[0] == 9  # the embedding too


@pytest.mark.parametrize("section", ["Groups", "Two halves"])
def test_parts_of_the_pairs_stand_side_by_side_on_one_scale(open_app, section):
    app = opened(open_app, metric="recovery").press("Run 6 pairs")
    app.widget("pairs_section").set_value(section)
    _, one, other, *_ = app.run().maps
    scales = [(of["data"][0]["zmin"], of["data"][0]["zmax"]) for of in (one, other)]
    assert scales[0] == scales[1]
    assert not np.allclose(values(one), values(other), atol=1e-5)
    if section == "Groups":
        apart = values(app.maps[3])
        np.testing.assert_allclose(apart, values(one) - values(other), atol=1e-6)
    else:
        correlation = np.corrcoef(values(one).ravel(), values(other).ravel())[0, 1]
        assert any(f"**{correlation:.4f}**" in text for text in app.words)


def test_the_chosen_cell_stays_whatever_is_looked_at(open_app):
    app = opened(open_app).press("Run 6 pairs").choose("4", 4)
    for section in ("Groups", "Two halves", "Which pairs", "Every pair"):
        app.widget("pairs_section").set_value(section)
        assert app.run().query["cell"] == "4,4"


def test_who_comes_back_from_a_pair_by_itself_finds_the_cell_that_was_chosen(open_app):
    app = opened(open_app).press("Run 6 pairs").choose("4", 4)
    app.at.session_state["chosen_pair"] = MADE[2].line
    app.run().press("Open this pair by itself")
    assert "cell" not in app.query
    app.go_to("many")
    assert app.query["cell"] == "4,4" and app.has("pairs_strip")
    assert "cell" not in app.press("Clear").run().query
    app.choose("4", 4).go_to("lens").go_to("many")
    assert app.query["cell"] == "4,4"
    app.go_to("patch").enter(site="head_z")
    assert "cell" not in app.go_to("many").query


def test_after_a_reload_ones_own_pairs_are_asked_for_again_not_replaced_by_others(open_app):
    app = opened(open_app)
    assert app.query["pack"] == "own"
    again = opened(open_app, None, **app.query)
    assert any("No pairs are here: a reload, or a link" in note for note in again.notes)
    assert not [label for label in again.buttons if label.startswith("Run")]


def test_a_finished_map_is_there_at_once_in_another_session_that_asks_the_same(open_app):
    app = opened(open_app, None, pack="teaching-gender", site="head_z").press("Run 200 pairs")
    drawn = values(app.maps[0])
    again = opened(open_app, None, **app.query)
    np.testing.assert_array_equal(values(again.maps[0]), drawn)
    assert "Run 200 pairs" in opened(open_app, None, **app.query | {"bos": "1"}).buttons
    assert "Run 200 pairs" in opened(open_app, None, **app.query | {"keep": "flips"}).buttons


def test_of_ones_own_pairs_it_is_once_the_same_file_is_brought_again(open_app):
    app = opened(open_app).press("Run 6 pairs")
    assert opened(open_app).maps
    assert "Run 5 pairs" in opened(open_app, pairs.write(MADE[1:])).buttons
    assert app.maps


def test_what_is_seldom_meant_in_a_file_is_said_and_mended_with_a_click(open_app):
    bare = replace(MADE[0], target=(MADE[0].target[0].strip(),))
    app = opened(open_app, pairs.write([bare, *MADE[1:], replace(MADE[1], id="again")]))
    assert any("(line 2) a target or foil has no space before it" in text for text in app.texts)
    assert any("(line 8) repeats the texts and words of one before" in text for text in app.texts)
    app.press("Put the space before them").press("Count each once")
    assert "Mended here: put the space before them; count each once." in app.notes
    assert any(text.startswith("7 given (1 cannot be used)") for text in app.texts)
    app.press("Run 6 pairs")
    np.testing.assert_allclose(
        values(app.maps[0]), values(opened(open_app).press("Run 6 pairs").maps[0]), atol=1e-5
    )
    app.press("Take them as they were brought")
    assert "Put the space before them" in app.buttons and not app.maps


def test_pairs_of_several_lengths_can_be_narrowed_to_one(open_app):
    short, long = "Mary was sad because", "Mary was tired and sad because"
    texts = [(text, text.replace("Mary", "John")) for text in (short, short, long)]
    rows = [Pair(f"{i}", i, *both, (" she",), (" he",)) for i, both in enumerate(texts)]
    app = opened(open_app, pairs.write(rows))
    assert "4 tokens: 2 pairs (lines 2, 3); 6 tokens: 1 pair (line 4)." in app.problems[0]
    app.press("Keep the 1 pair of 6 tokens")
    assert "Run 1 pair" in app.buttons and not app.problems


@pytest.mark.parametrize("pack", ["gpt2-capital", "gpt2-greater-than"])
def test_a_pack_for_another_model_says_so_and_offers_the_ways_out(open_app, pack):
    app = opened(open_app, None, pack=pack)
    assert any("These pairs are made for GPT-2. The teaching model knows" in t for t in app.texts)
    assert any(label.startswith("Ask “GPT-2 small") for label in app.buttons)
    takes = [label for label in app.buttons if label.startswith("Take “")]
    assert len(takes) == (pack == "gpt2-capital")  # the other behaviour has no pack of its words
    if takes:
        assert app.press(takes[0]).query["pack"] == "teaching-capital"
        assert not any("made for GPT-2. The" in text for text in app.texts)


def test_so_does_the_teaching_models_own_pack_with_another_model(open_app, folders):
    app = opened(open_app, None, model="local/tiny", pack="teaching-gender")
    says = "These pairs are made for the teaching model, of its own little language."
    assert any(says in text for text in app.texts) and app.problems
    assert app.press("Take “She or he \\(GPT-2\\)” instead").query["pack"] == "gpt2-gender"
    assert not any(says in text for text in app.texts)


def test_who_asks_which_head_is_one_click_away_from_the_map_that_says(open_app):
    app = opened(open_app, pairs.write(packs.PACKS["teaching-gender"].make()[:6]))
    app.press("Run 6 pairs").choose("4", 3).press("Patch “Head output z”")
    assert values(app.maps[0]).shape == (8, 4) and "cell" not in app.query
    assert any("Strongest: head" in text for text in app.texts)
    assert "Patch “Head output z”" not in app.buttons


def test_of_heads_by_role_the_map_is_of_one_role(open_app):
    app = opened(open_app, site="head_z_position").press("Run 6 pairs")
    last = values(app.maps[0])
    app.widget("map_position").set_value(0)
    first = values(app.run().maps[0])
    assert last.shape == first.shape == (8, 4) and np.ptp(last) > np.ptp(first)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("clean,target\na,b", "what was pasted has no column corrupted and no column foil"),
        (pairs.write([WRONG]), "None of 1 pair can be used with this model. Line 2: The texts"),
        (pairs.write([replace(pair, target=(" she",)) for pair in MADE]), None),
    ],
)
def test_a_file_that_is_none_and_pairs_that_are_none_say_why(open_app, file, says):
    app = opened(open_app, file)
    if says is None:  # usable, and none of them flips
        app.widget("pairs_keep").set_value("first")
        app.run()
        says = "None of 6 usable pairs is one of the pairs whose target is the model's first choice"
    assert says in app.problems[0]
    assert app.widget("pasted_pairs").value == file


def test_what_a_person_brought_is_shown_literally(open_app):
    name = '![i](//host/x.png) <img src="//host/y.png"> $x$ :red[z]'
    named = [replace(pair, id=f"{name}{i}", group=name) for i, pair in enumerate(MADE)]
    app = opened(open_app, pairs.write([*named, replace(WRONG, id=name)])).press("Run 6 pairs")
    app.choose("4", 4)
    app.at.session_state["chosen_pair"] = 2
    app.run()
    assert any(name in text for text in app.texts)
    assert not [body for body in app.bodies if "<img" in body]
    assert not [text for kind, text in app.strings() if name in text and kind != "arrow_data_frame"]


def test_many_pairs_that_take_long_are_cancelled_and_gone_on_with(open_app, monkeypatch):
    from core.many import sweeping

    monkeypatch.setattr(sweeping, "BATCH_WORK", 1)
    advance = jobs.Job.advance

    def stopped_after_two(job):
        advance(job)
        if len(getattr(job.of, "swept", ())) == 2 and job.state is jobs.State.RUNS:
            job.stop()

    monkeypatch.setattr(jobs.Job, "advance", stopped_after_two)
    app = opened(open_app).press("Run 6 pairs")
    assert any(text.startswith("Stopped at 3") for text in app.words)
    monkeypatch.setattr(jobs.Job, "advance", advance)
    swept = []
    sweep = sweeping.sweep
    monkeypatch.setattr(
        sweeping, "sweep", lambda batch, *rest: swept.extend(batch) or sweep(batch, *rest)
    )
    assert app.press("Go on").maps
    assert {pair.pair.id for pair in swept}.isdisjoint({MADE[0].id, MADE[1].id}) and swept


def test_what_other_pairs_put_in_is_said_and_its_seed_is_in_the_address(open_app):
    app = opened(open_app, site="head_z").press("Run 6 pairs")
    assert not app.has("pairs_resample_seed")
    said = {}
    for direction in ("dataset_mean", "resample"):
        app.enter(direction=direction)
        said[direction] = next(text for text in app.texts if f"({direction})" in text)
    assert "mean (over the clean runs of 6 pairs, in the same role" in said["dataset_mean"]
    assert "another pair's activation (of 6, drawn by seed 0, in the same" in said["resample"]
    first = values(app.maps[0])
    app.widget("pairs_resample_seed").set_value(5)
    app.run()
    assert not np.allclose(values(app.maps[0]), first, atol=1e-3)
    assert app.query["resample_seed"] == "5" and app.query["direction"] == "resample"
    assert opened(open_app, None, **app.query).query == app.query
    app.choose("4", 2)
    app.at.session_state["chosen_pair"] = MADE[2].line
    assert "Open this pair by itself" not in app.run().buttons
    app.enter(site="head_pattern")
    assert "(resample) of head_pattern needs pairs without roles" in app.problems[0]


@pytest.mark.parametrize("page", ["patch", "lens"])
def test_one_pair_alone_says_where_ablations_by_other_pairs_are(open_app, page):
    app = open_app(direction="resample").go_to(page)
    assert "it is on the page “Many pairs”" in app.problems[0]
    app.press("Denoise instead")
    assert app.experiment.direction == "denoise" and not app.problems
    if page == "patch":
        assert app.maps and "resample" not in app.widget("field_direction").options


def test_the_map_is_predicted_before_anything_is_said_of_it(open_app):
    app = opened(open_app)
    app.widget("predict_first").set_value(True)
    app.run().press("Run 6 pairs")
    assert len(np.unique(app.map)) == 1
    assert not app.has("cell_row") and not app.at.get("download_button")
    app.widget("guess_why").set_value("The second name is read there.")
    app.press("Show me the map")
    assert len(np.unique(app.map)) > 3 and len(app.outlined) == 3
    surprised = [text for text in app.texts if "guessed “hardly moves”" in text]
    assert len(surprised) == 3 and surprised[0].startswith("layer ")
    assert app.query["why"] == "The second name is read there."
