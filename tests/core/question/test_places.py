"""Places: which cell of a map is meant, and what it is beside a cell."""

import pytest

from core.errors import UserError
from core.question import places
from core.question.places import Place
from core.question.sites import SITES
from tests.builders import experiment

SIZES = (12, 4, 9)


@pytest.mark.parametrize(
    ("site", "text", "place"),
    [
        ("resid_post", "3,8", Place(3, None, 8)),
        ("mlp_out", " 3 , -1 ", Place(3, None, 8)),
        ("resid_post", "embedding,0", Place(-1, None, 0)),
        ("head_q", "11,3", Place(11, 3)),
        ("head_z_position", "0,0,-9", Place(0, 0, 0)),
    ],
)
def test_a_place_is_written_as_the_axes_of_its_site(site, text, place):
    assert places.parse(text, site, *SIZES) == place
    assert places.parse(str(place), site, *SIZES) == place


@pytest.mark.parametrize(
    ("site", "text", "says"),
    [
        ("resid_post", "3", "'3' is no place of resid_post: write LAYER,POSITION as numbers"),
        ("head_z_position", "3,1", "write LAYER,HEAD,POSITION as numbers, e.g. 9,6,14."),
        ("head_z", "embedding,1", "'embedding,1' is no place of head_z: write LAYER,HEAD"),
        ("resid_post", "2,embedding", "'embedding' is no position: it is a number from 0 on."),
        ("head_z", "3,-1", "'-1' is no head: it is a number from 0 on."),
        ("resid_post", "12,0", "There is no layer 12: this model's layers are 0 to 11."),
        ("head_z", "3,4", "There is no head 4: this model's heads are 0 to 3."),
        ("resid_post", "3,9", "There is no position 9: this text's are 0 to 8"),
    ],
)
def test_a_place_that_is_none_says_what_would_be_one(site, text, says):
    with pytest.raises(UserError) as error:
        places.parse(text, site, *SIZES)
    assert says in str(error.value) and error.value.field == "at"


@pytest.mark.parametrize(
    ("changes", "cell", "components", "receiver"),
    [
        ({}, (3, 8), "resid3@8", "logits"),
        ({"embedding": True}, (0, 8), "embedding@8", "logits"),
        ({"embedding": True}, (4, 8), "resid3@8", "logits"),
        ({"window": 1}, (11, 8), "resid10@8 resid11@8", "logits"),
        ({"site": "resid_pre"}, (0, 8), "embedding@8", "logits"),
        ({"site": "resid_pre"}, (4, 8), "resid3@8", "logits"),
        ({"site": "attn_out"}, (3, 8), "attn3@8", "logits"),
        ({"site": "mlp_out", "window": 2}, (0, 8), "mlp0@8 mlp1@8 mlp2@8", "mlp0@8"),
        ({"site": "resid_mid"}, (3, 8), "", "mlp3@8"),
        ({"site": "head_z"}, (3, 1), "3.1", "3.1"),
        ({"site": "head_z_position"}, (3, 1, 8), "3.1@8", "3.1@8"),
        ({"site": "head_q"}, (3, 1), "", "3.1.q"),
        ({"site": "head_v"}, (3, 1), "", "3.1.v"),
        ({"site": "head_pattern"}, (3, 1), "", "3.1"),
    ],
)
def test_a_cell_is_a_set_of_components_and_has_something_that_feeds_it(
    changes, cell, components, receiver
):
    asked = experiment(**changes)
    place = places.of_cell(asked, cell)
    assert " ".join(map(str, places.components_of(asked, place, 12))) == components
    assert str(places.receiver_of(asked, place)) == receiver


def test_every_site_has_places():
    for name, site in SITES.items():
        asked = experiment(site=name)
        place = places.of_cell(asked, tuple(range(len(site.axes))))
        assert places.parse(str(place), name, *SIZES) == place
