"""Following an answer back on the teaching model: numbers, files and the command."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from core import catalogue, models
from core.__main__ import main
from core.engine import paths
from core.errors import UserError
from core.following import Follow
from core.question.experiment import SIDES, Experiment
from core.question.receivers import parse
from core.result import FROZEN
from core.sets import Sets
from core.steps import finish
from core.study import sides
from core.views import path_files, path_maps
from core.views.colours import BLUE, reach
from core.views.names import stem
from core.views.pictures import draw, picture
from core.views.sentences import sends
from core.views.terminal import report_paths
from core.views.words import embedding_sends, sign, summary
from tests.hooked_gpt2 import hugging_face
from tests.hooked_paths import hooked_paths

ASKED = Experiment(
    "When Mary and John went to the store, John gave a drink to",
    "When Mary and John went to the store, Mary gave a drink to",
    " Mary",
    " John",
)


@pytest.fixture(scope="module")
def model():
    return models.load(catalogue.TEACHING, device="cpu")


def followed(model, asked=ASKED, into=("6.3.q",), frozen="all", **options):
    follow = Follow(asked, model, into, frozen)
    for _ in follow:
        pass
    return follow.read(asked, **options)


@pytest.mark.parametrize("direction", ["denoise", "noise", "zero"])
@pytest.mark.parametrize("frozen", ["all", "heads"])
def test_a_map_is_what_hooks_on_another_model_say(model, direction, frozen):
    asked = replace(ASKED, direction=direction)
    found = followed(model, asked, ("4.3.v",), frozen)["4.3.v"]
    ids = {side: tuple(model.encoder.encode(getattr(ASKED, side))) for side in SIDES}
    base, source = (ids.get(of, of) for of in sides(direction))
    receiver = parse("4.3.v", 8, 4, len(base))
    logits = hooked_paths(hugging_face(model.gpt), base, source, receiver, frozen)
    target, foil = (model.encoder.encode(token)[0] for token in (ASKED.target, ASKED.foil))
    for (site, layer, head), of in logits.items():
        expected = (of[foil] - of[target]).item()
        if site == "resid_pre":
            assert found.embedding["logit_diff"] == pytest.approx(expected, abs=1e-3)
        else:
            column = 4 if head is None else head
            assert found.values[layer, column] == pytest.approx(expected, abs=1e-3)
    assert len(logits) == 1 + 4 * 5
    assert np.isnan(found.values[4:]).all()  # they come too late


def test_the_circuit_of_the_example_is_found_in_three_steps(model):
    """Who gets the drink: 6.3 writes the answer, its query comes from 4.3, whose value is the name
    that 0.1 has read."""
    for into, sender in (("logits", "6.3"), ("6.3.q", "4.3"), ("4.3.v", "0.1")):
        assert sends(followed(model, into=(into,))[into]).startswith(
            f"Most into {into}: {sender} ("
        )
    assert "No sender does much" in sends(followed(model, into=("6.3.k",))["6.3.k"])


@pytest.mark.parametrize("into", ["0.1.v", "0.1", "mlp0"])
def test_at_the_end_of_a_trail_the_embedding_is_what_is_left(model, into):
    """Before the first attention there is nothing else; before the first MLP its layer's heads."""
    found = followed(model, into=(into,))[into]
    assert np.isfinite(found.values).sum() == (4 if into == "mlp0" else 0)
    assert ("embedding (-" in sends(found)) == (into != "mlp0")
    assert reach(found) > 0 and path_maps.heatmap(found)
    assert picture(found, "svg") and path_files.paths_csv(found)
    assert json.loads(path_files.paths_json(found))["embedding"] == found.embedding["logit_diff"]


def test_what_is_no_receiver_and_no_way_to_freeze_says_so(model):
    assert tuple(FROZEN) == paths.FROZEN  # what is said of each way, and what is done
    with pytest.raises(UserError, match="frozen is all or heads, not 'mlps'"):
        Follow(ASKED, model, ["logits"], "mlps")
    with pytest.raises(UserError, match="There is no layer 12: this model's layers are 0 to 7"):
        Follow(ASKED, model, ["12.0.q"])


def test_files_and_pictures_say_receiver_frozen_parts_direction_and_sign(model):
    found = followed(model)["6.3.q"]
    said = json.loads(path_files.paths_json(found))
    assert (said["receiver"], said["frozen"], said["metric"]) == ("6.3.q", "all", "logit_diff")
    np.testing.assert_allclose(np.array(said["heads"][:6]), found.values[:6, :4], rtol=1e-6)
    assert said["heads"][6] == [None] * 4 and said["mlps"][7] is None and len(said["mlps"]) == 8
    lines = list(csv.DictReader(io.StringIO(path_files.paths_csv(found).lstrip("\ufeff"))))
    by_sender = {line["sender"]: line for line in lines}
    assert float(by_sender["4.3"]["logit_diff"]) == pytest.approx(float(found.values[4, 3]))
    assert by_sender["mlp7"]["logit_diff"] == "" and len(lines) == 8 * 5 + 1
    svg = picture(found, "svg").decode()
    words = " ".join(re.sub(r"<[^>]*>", " ", svg).split())
    below = "below that is towards the clean run"  # the logit difference of the right answer
    for piece in ("6.3.q", "frozen", "denoise", "Mary", "MLP", below, "The embedding into 6.3.q"):
        assert piece in words
    for of in (said["in_words"], by_sender["4.3"]):
        assert of["patched"] == summary(found) and "all heads and MLPs between" in of["patched"]
        assert of["sign"] == sign(found) and of["reading"].startswith("Negative where the target")
    assert "site" not in by_sender["4.3"]  # which is none of the question
    assert "all heads and MLPs between them frozen" in report_paths(found)
    assert stem(found).startswith("patchboard-teaching-Mary-John-paths-6_3_q-all-denoise")
    others = (followed(model, frozen="heads")["6.3.q"], followed(model, into=("6.3.k",))["6.3.k"])
    assert len({stem(of) for of in (found, *others)}) == 3


def test_a_figure_names_each_sender_and_says_which_come_too_late(model):
    found = followed(model)["6.3.q"]
    figure = path_maps.heatmap(found)
    assert figure.layout.yaxis.title.text == "sender's layer"
    fields = {of[2]: of for of in figure.data[-1].customdata}
    assert list(fields["4.3"][:2]) == ["4", "3"]
    assert float(fields["4.3"][3]) == pytest.approx(float(found.values[4, 3]), abs=1e-4)
    assert list(fields["4.3"][5:]) == [
        "what head 3 of layer 4 adds to the stream",
        "click: what feeds it?",
    ]
    assert fields["mlp2"][5].startswith("what the MLP of layer 2 adds")
    assert fields["mlp2"][6] == "click: what feeds its input?" and fields["mlp7"][6] == ""
    change = found.embedding["logit_diff"] - found.plain("logit_diff")
    assert f"{found.embedding['logit_diff']:.4f}, a change of {change:+.4f}" in (
        embedding_sends(found)
    )
    change = float(found.values[4, 3]) - found.plain("logit_diff")
    assert float(fields["4.3"][4]) == pytest.approx(change, abs=1e-3)
    assert fields["mlp6"][3] == "comes too late for this receiver"
    assert reach(found) == pytest.approx(abs(change), rel=1e-5)


def test_the_strongest_sender_is_as_blue_on_paper_as_on_the_page(model):
    """Though it does less than half of what the clean run does, put in whole."""
    found = followed(model)["6.3.q"]
    moved = np.nan_to_num(found.plain("logit_diff") - found.values)  # towards the clean run
    whole = found.plain("logit_diff") - found.plain("logit_diff", "clean")
    assert moved.max() < whole / 2
    mesh = draw(found, bare=True).axes[0].collections[0]
    colour = mesh.to_rgba(mesh.get_array()).reshape(-1, 4)[moved.argmax()]
    np.testing.assert_allclose(255 * colour[:3], BLUE, atol=3)


def test_the_command_prints_a_map_or_its_json_alone(model, capsys):
    texts = ["--clean", ASKED.clean, "--corrupted", ASKED.corrupted]
    asked = ["paths", *texts, "--target= Mary", "--foil= John", "--to=6.3.q"]
    assert main(asked) == 0
    assert "what every sender adds to 6.3.q along its direct path" in capsys.readouterr().out
    assert main([*asked, "--frozen=heads", "--json=-"]) == 0
    said = json.loads(capsys.readouterr().out)
    expected = followed(model, frozen="heads")["6.3.q"].values[:6, :4]
    np.testing.assert_allclose(said["heads"][:6], expected, rtol=1e-5)
    assert main([*asked[:-1], "--to=6.9"]) == 2
    assert "There is no head 9" in capsys.readouterr().err


def test_the_command_grades_a_set_or_searches_for_one(model, capsys):
    texts = ["--clean", ASKED.clean, "--corrupted", ASKED.corrupted]
    asked = ["set", *texts, "--target= Mary", "--foil= John"]
    assert main([*asked, "--components=6.3, mlp5", "--json=-"]) == 0
    said = json.loads(capsys.readouterr().out)
    question = Sets(ASKED, model)
    grade = finish(question.grade(question.parse("6.3 mlp5")))
    assert said["components"] == ["6.3", "mlp5"] and said["metric"] == "logit_diff"
    for name in ("sufficient", "necessary", "complement"):
        effect = getattr(grade, name)
        assert said[name] == pytest.approx(effect.value, abs=1e-3)
        assert said["shares"][name] == pytest.approx(effect.share, abs=1e-4)
    assert set(said["shares"]) == {"sufficient", "necessary", "complement"}
    assert set(said["singles"]) == set(said["minimality"]) == {"6.3", "mlp5"}
    left_out = [of["value"] for of in said["minimality"].values()]
    assert left_out == pytest.approx([effect.value for effect in grade.without], abs=1e-3)
    alone = [effect.share for effect in grade.alone]
    assert said["sum_of_singles"]["share"] == pytest.approx(sum(alone), abs=1e-4)
    assert len(said["curve"]["values"]) == 3 and said["curve"]["order"] == "given"
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("S = 4.3\n") and "does the answer come back?" in printed
    assert main([*asked, "--components=6.9"]) == 2
    assert "There is no head 9" in capsys.readouterr().err
    assert main([*asked, "--components=6.3", "--direction=zero", "--json=-"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sufficient"] is None is said["shares"]["sufficient"]
    assert main([*asked, "--components=mlp7 6.3 4.3", "--order=greedy", "--csv=-"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out.lstrip("\ufeff"))))
    order = [line["component"] for line in lines if line["run"] == "curve_greedy"]
    assert order[:2] == ["", "4.3"] and len(order) == 4
    assert {line["direction"] for line in lines} == {"denoise"}
    grade = finish(question.grade(question.parse("mlp7 6.3 4.3")))
    for run, effects in (("single", grade.alone), ("left_out", grade.without)):
        values = [float(line["value"]) for line in lines if line["run"] == run]
        assert values == pytest.approx([effect.value for effect in effects], abs=1e-3)
    assert main(["set", "--clean=a", "--components=6.3"]) == 2
    assert "add --corrupted, --target, --foil." in capsys.readouterr().err
