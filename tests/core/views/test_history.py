"""What was asked is listed newest first, small, and read back from a file of anybody's."""

import io
import json
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from core.views import colours, history
from core.views.colour_bar import paint
from tests import answers
from tests.builders import HOSTILE, answer, experiment, of_shape

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def asked(number: int = 0, **query: str) -> history.Asked:
    return history.asked("", experiment(clean=f"text {number}").to_query() | query, WHEN)


def pixels(picture: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(b64decode(picture.partition(",")[2]))))


@pytest.mark.parametrize("direction", ["denoise", "noise", "zero"])
def test_a_thumbnail_has_the_colour_of_each_cell(loaded, direction):
    result = answer(loaded, direction=direction)
    painting = paint(result)
    drawn = pixels(history.thumbnail(result))
    low, high = painting.limits
    for cell in np.ndindex(result.values.shape):
        colour, opacity = colours.at(painting.scale, (painting.drawn[cell] - low) / (high - low))
        np.testing.assert_allclose(drawn[cell], (*colour, 255 * opacity), atol=1)


def test_a_thumbnail_stays_small_however_large_the_map_is(result, loaded):
    assert len(history.thumbnail(of_shape(result, 48, 1000))) < 9000
    assert pixels(history.thumbnail(answer(loaded, site="head_z_position"))).shape == (3, 2, 4)
    many = answers.many(loaded, map(answers.pair, range(3)), site="head_z_position")
    assert pixels(history.thumbnail(many)).shape[0] == 3


def test_the_newest_comes_first_once_and_the_oldest_go():
    found = ()
    for number in (*range(40), 35):
        found = history.remember(found, asked(number), ("cell",))
    texts = [of.query["clean"] for of in found]
    assert len(texts) == history.MOST and texts[:3] == ["text 35", "text 39", "text 38"]
    looked_at = asked(38, cell="1,2")
    found = history.remember(found, looked_at, ("cell",))
    assert found[0] == looked_at and [of.query["clean"] for of in found].count("text 38") == 1
    assert history.remember(found, asked(1, target="x" * 99_999), ()) == found


def test_a_list_is_read_back_from_its_file(result):
    entries = (asked(1), replace(asked(2), picture=history.thumbnail(result), title=HOSTILE[0]))
    assert history.from_dict(json.loads(json.dumps(history.to_dict(entries)))) == entries


@pytest.mark.parametrize(
    "change",
    [
        {"picture": "javascript:alert(1)"},
        {"picture": 'data:image/png;base64,AA" onerror="alert(1)'},
        {"picture": "data:image/png;base64," + "A" * 50_000},
        {"picture": "data:image/svg+xml;base64,AAAA"},
        {"when": "soon"},
        {"query": {"clean": 5}},
        {"query": {"clean": "x" * 50_000}},
        {"title": None},
    ],
    ids=str,
)
def test_a_damaged_or_hostile_list_is_refused(change):
    data = history.to_dict([asked()])
    data["asked"][0] |= change
    with pytest.raises(UserError):
        history.from_dict(data)
