"""Files of ours are read back to what they were made of; others are refused in a sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest

from core.errors import UserError
from core.following import Follow
from core.question.experiment import Experiment
from core.views import (
    exports,
    many_files,
    many_maps,
    opening,
    path_files,
    path_maps,
    pictures,
    saved,
    words,
)
from core.views.links import link, parsed
from tests import answers
from tests.builders import HOSTILE, answer, experiment


def read(data: dict | bytes, name: str = "a.json") -> opening.Opened:
    content = data if isinstance(data, bytes) else json.dumps(data).encode()
    return opening.read(content, name)


@pytest.fixture
def data(result) -> dict:
    return json.loads(exports.to_json(result))


def test_a_map_is_read_back_whatever_its_axes(loaded):
    for site in ("resid_post", "head_z", "head_z_position"):
        result = answer(loaded, site=site)
        found = read(exports.to_json(result).encode())
        assert found.query == result.experiment.to_query() and found.page == ""
        assert found.name == "a.json"
        np.testing.assert_array_equal(found.maps[""].values, result.values)


def test_paths_are_read_back_and_drawn_as_before(loaded):
    asked = experiment(metric="recovery")
    follow = Follow(asked, loaded, ["2.1.k"])
    for _ in follow:
        pass
    path_map = follow.read(asked)["2.1.k"]
    found = read(path_files.paths_json(path_map).encode())
    assert found.page == "follow" and found.query["trail"] == "2.1.k"
    drawn = [path_maps.heatmap(of).to_json() for of in (path_map, found.found)]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("site", ["resid_post", "head_z"])
def test_an_answer_to_many_pairs_is_read_back_with_its_intervals_and_its_caption(loaded, site):
    many = answers.many(loaded, map(answers.pair, range(9)), site=site)
    found = read(many_files.many_json(many).encode())
    assert found.page == "many" and found.query["site"] == site and found.name == "a.json"
    assert "clean" not in found.query  # the texts that stand in the inputs stay
    drawn, again = (many_maps.heatmap(of).data for of in (many, found.found))
    np.testing.assert_allclose(again[0].z, drawn[0].z, atol=1e-5)
    for one, other in zip(drawn[1:], again[1:], strict=True):  # crosses and frames
        np.testing.assert_array_equal(one.x, other.x)
    assert words.caption(found.found) == words.caption(many)
    assert pictures.picture(found.found, "svg")


def test_the_address_of_a_map_leads_back_to_it(result):
    asked = experiment(clean="a & b = %20+\n#?", target="\ud800", metric="kl")
    page, query = parsed(link(replace(result, experiment=asked), "assignment"))
    assert page == "" and query.pop("view") == "assignment"
    assert Experiment.from_query(query) == replace(asked, target="\\ud800")


DAMAGED = {
    "metrics": {"logit_diff": {"clean": 0, "corrupted": 0, "values": [[1, 2]]}},
    "tokens": {"clean": [], "corrupted": []},
    "model": {"name": "x", "layers": "many"},
    "axes": ["layer", "head"],
    "top": {"clean": [{"rank": 1}], "corrupted": []},
    "seconds": ["soon"],
    "at_position": 999,
    "target": None,
    "experiment": {"clean": "", "metric": "<script>"},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_map_is_refused_in_one_sentence(data, name):
    for changed in (data | {name: DAMAGED[name]}, data | {name: HOSTILE}, data | {name: 7}):
        with pytest.raises(UserError, match=r"^“a.json” cannot be opened\. [^\n]{9,400}\.$"):
            read(changed)


def test_what_a_file_leaves_out_is_left_out_of_the_address(data):
    asked = data["experiment"]
    del data["at_position"]
    assert "position" not in read(data).query
    other = {"experiment": asked, "model": data["model"]}
    assert read(other | {"components": None, "joint": {}}).query["set"] == ""
    assert read(other | {"continued": [], "sampling": None}).query["write"] == ""


def test_a_long_name_that_there_is_not_is_told_in_short(data):
    with pytest.raises(UserError) as caught:
        read(data | {"experiment": data["experiment"] | {"site": "x" * 100_000}})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "damaged, or not a JSON"),
        (b"[1]", "not a file that Patchboard wrote"),
        (b'{"a": 1}', "not a file that Patchboard wrote"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 60 + b"1" + b"}" * 60, "nested too deeply"),
        (b'{"a": NaN}', "NaN where a number should be"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "damaged, or not a JSON"),
        (b'{"a": "\\ud800"}', "not valid Unicode"),
        (b"\xff\xfe{", "not text in UTF-8"),
        (b" " * 50_000_000, "It is 50 MB"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 99, "picture that does not say"),
        (b"<svg><dc:source>https://other.example/?a=1</dc:source></svg>", "of something else"),
    ],
    ids=range(13),
)
def test_what_is_no_file_of_ours_is_refused_in_one_sentence(content, why):
    with pytest.raises(UserError, match=rf"^“a.json” cannot be opened\. [^\n]*{why}[^\n]*$"):
        read(content)


def test_the_largest_difference_between_two_files_is_found_and_where(data):
    other = json.loads(json.dumps(data))
    data["seconds"] = {"sweep": 1.0}  # which older files have
    assert opening.apart(data, other).difference == 0
    other["metrics"]["kl"]["values"][1][2] += 0.25
    other["seconds"] = {"sweep": 99.0}
    found = opening.apart(data, other)
    assert found.at == "metrics, kl, values[1][2]"
    assert found.difference == pytest.approx(0.25)
    assert opening.same_question(data, other)
    other["experiment"]["metric"] = "kl"
    assert not opening.same_question(data, other)


def test_an_answer_of_three_axes_or_of_no_pair_is_refused(loaded):
    data = json.loads(many_files.many_json(answers.many(loaded, [answers.pair(0)])))
    for change in ({"axes": ["layer", "head", "role"]}, {"n_used": 0}, {"mean": [[0.0]]}):
        with pytest.raises(UserError):
            saved.many(data | change)
