"""What a set's grades say in words is true of its numbers."""

from dataclasses import replace

import pytest

from core import catalogue, models
from core.question.experiment import Experiment
from core.result import Curve, Effect, Grade
from core.sets import Sets
from core.steps import finish
from core.views import set_figures
from core.views.set_sentences import caption, grown, listed, means, spare

ASKED = Experiment("Mary was tired because", "John was tired because", " she", " he")


@pytest.fixture(scope="module")
def grade() -> Grade:
    sets = Sets(ASKED, models.load(catalogue.TEACHING))
    return finish(sets.grade(sets.parse("4.3 mlp5")))


def of(share: float | None) -> Effect:
    return Effect(0.0, share)


def told(
    grade: Grade, sufficient, necessary, complement, together=0.9, summed=0.9, **others
) -> str:
    asked = map(of, (sufficient, necessary, complement))
    asked = dict(zip(("sufficient", "necessary", "complement"), asked, strict=True))
    return means(replace(grade, **asked, joint=of(together), sum_of_alone=of(summed), **others))


def test_a_sentence_says_what_is_enough_what_is_lost_and_what_else_is_needed(grade):
    assert told(grade, 0.95, 0.7, 0.04) == (
        "Put into the corrupted run, these 2 components bring the answer back (95%), most of the"
        " answer is lost without them (70%), and hardly anything else is needed (4% is lost with"
        " all others patched); alone they come to 90%, together to 90%, so that there is little"
        " interplay."
    )
    assert "bring a part of the answer back" in told(grade, 0.2, 0.05, 0.6)
    assert "the answer stays without them (5% is lost), and most of it" in told(grade, 0, 0.05, 0.6)
    assert "do not bring the answer back (-3%)" in told(grade, -0.03, 1, 1)
    assert told(grade, 1, 1, 1, 0.9, 1.4).endswith("so that they overlap.")
    assert told(grade, 1, 1, 1, 0.9, 0.2).endswith("so that they need each other.")
    one = {"components": ("4.3",), "alone": (of(1),), "without": (of(0),)}
    assert told(grade, 1, 1, 0.95, **one).startswith(
        "Put into the corrupted run, 4.3 brings the answer back (100%), the answer is lost without"
        " it (100%), and all of it takes others that make what it reads or pass on what it does"
    )
    assert told(grade, 1, 1, 1, components=()).startswith("S is empty")
    assert "hardly differ in logit(" in told(grade, None, None, None)
    ablated = replace(grade, sufficient=None, necessary=of(0.5), complement=of(0))
    assert means(ablated).startswith("Of these 2 components: most of the answer is lost")


def test_minimality_names_those_that_can_be_left_out(grade):
    needed = replace(grade, joint=of(0.9), without=(of(0.2), of(0.7)))
    assert spare(needed) == "Every member is needed: least is lost without mlp5 (20%)."
    spared = replace(grade, joint=of(0.9), without=(of(0.895), of(1.0)))
    assert spare(spared).startswith("S does as much without 4.3, mlp5 (one at a time: less than 1%")


def test_a_curve_says_how_few_are_enough():
    shares = [of(share) for share in (0, 0.5, 0.95, 0.92)]
    curve = Curve(ASKED, ("4.3", "6.3", "mlp5"), tuple(shares), "greedy")
    assert grown(curve) == (
        "Added one by one, each time the one that adds most: the first 2 reach 95%, fewer stay"
        " below 90%."
    )
    short = Curve(ASKED, ("4.3",), tuple(shares[:2]))
    assert "none of 1 sets reaches 90%; the most is 50%, with 1 component." in grown(short)
    assert "hardly differ" in grown(Curve(ASKED, (), (of(None),)))
    figure = set_figures.curve(curve)
    assert figure.data[0].y == (0, 0.5, 0.95, 0.92)
    assert (figure.data[1].x, figure.data[1].y) == ((2,), (0.95,))


def test_tables_and_captions_say_direction_metric_and_sign(grade):
    assert list(listed(grade)) == [
        "sufficient",
        "necessary",
        "complement",
        *list(listed(grade))[3:],
    ]
    said = caption(grade)
    for piece in ("denoise", "clean into the corrupted run", "logit(·he)", "Negative where the"):
        assert piece in said
    away = replace(grade, experiment=replace(ASKED, direction="position_mean"), sufficient=None)
    assert "sufficient" not in listed(away)
    assert "S replaced by the position mean, in the clean run" in listed(away)["necessary"][2]


def test_a_figure_of_members_shows_what_each_does_alone_and_what_is_lost_without_it(grade):
    alone, lost = set_figures.members(grade).data
    assert list(alone.x) == pytest.approx([effect.share for effect in grade.alone])
    without = [grade.joint.share - effect.share for effect in grade.without]
    assert list(lost.x) == pytest.approx(without)
    unknown = replace(grade, joint=Effect(2.0, None), without=(Effect(0.5, None),) * 2)
    assert set_figures.of_members(unknown)[0][set_figures.LOST] == [1.5, 1.5]
