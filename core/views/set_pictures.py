"""A graded set -> a picture to print, complete without a word beside it: the model, both texts,
what was asked, the grades, how sets grow and what each member does. Lengths are inches."""

from matplotlib.axes import Axes

from core.result import ENOUGH, Curve, Grade
from core.views.colours import BLUE, GREY, ORANGE, PURPLE, hexadecimal
from core.views.links import written
from core.views.pictures import Page, measured, of_pair, said, saved
from core.views.set_figures import ALONE, LOST, of_members
from core.views.set_sentences import SHARE, grown, listed, means, spare
from core.views.words import summary

_ACROSS = 7.2
_LEFT, _RIGHT = 1.2, 0.15  # of the figures: on the left stand numbers
_POINTS = {"labels": 9.0, "ticks": 8.0}
_CURVE, _BAR = 1.7, 0.26
_LABELLED = 42  # components of a curve that have room for their names


def picture(grade: Grade, curve: Curve | None, format: str) -> bytes:
    """The grades of a set as "png" (300 dpi), "svg" or "pdf"; with the curve if it is known and
    has shares."""
    page = Page(across=_ACROSS)
    names = " ".join(grade.components) or "nothing"
    for size, words in of_pair(grade, f"How much a set carries: {names}"):
        page.paragraph(words, size)
    page.paragraph(said(measured(grade)))
    page.paragraph(said(f"Patched: S = {summary(grade)}. {SHARE}"))
    page.down += 0.08
    for name, (value, share, what) in listed(grade).items():
        page.paragraph([*said(f"{name.capitalize()}: {value} ({share})", True), *said(what)])
    page.paragraph(said(means(grade)))
    if curve and curve.effects[0].share is not None:
        _curve(page, curve)
    if grade.components:
        _members(page, grade)
    page.note_code_points()
    query = grade.experiment.to_query() | {"set": " ".join(grade.components)}
    return saved(page.finished(), format, written("sets", query))


def _curve(page: Page, curve: Curve) -> None:
    page.down += 0.1
    page.paragraph(said(grown(curve)))
    page.down += 0.1
    axes = page.axes(_LEFT, _ACROSS - _LEFT - _RIGHT, _CURVE)
    shares = [effect.share for effect in curve.effects]
    axes.axhline(ENOUGH, color=hexadecimal(GREY), lw=0.8, ls="--")
    axes.plot(shares, color=hexadecimal(BLUE), lw=1.4, marker="o", ms=3)
    if size := curve.smallest():
        axes.plot(size, shares[size], "D", color=hexadecimal(PURPLE), ms=7)
    names = ("none", *(f"+ {name}" for name in curve.components))
    if len(names) <= _LABELLED:
        axes.set_xticks(range(len(names)), names, rotation=90)
    _dress(axes)
    axes.yaxis.set_major_formatter("{x:.0%}")
    page.text(0.25, page.down - _CURVE / 2, "share", _POINTS["labels"], rotation=90)
    page.down += 0.65
    said_below = "components, added one by one"
    page.text((_LEFT + _ACROSS) / 2, page.down, said_below, _POINTS["labels"])
    page.down += 0.1


def _members(page: Page, grade: Grade) -> None:
    bars, unit = of_members(grade)
    page.down += 0.15
    page.paragraph(said(f"Each member, {unit}: blue: {ALONE}; orange: {LOST}. {spare(grade)}"))
    page.down += 0.05
    axes = page.axes(_LEFT, _ACROSS - _LEFT - _RIGHT, _BAR * len(grade.components) + 0.15)
    places = range(len(grade.components))
    for by, (name, colour) in zip((-0.2, 0.2), ((ALONE, BLUE), (LOST, ORANGE)), strict=True):
        axes.barh([place + by for place in places], bars[name], 0.36, color=hexadecimal(colour))
    axes.axvline(0, color="black", lw=0.6)
    axes.set_yticks(places, grade.components)
    axes.set_ylim(len(grade.components) - 0.5, -0.5)
    _dress(axes)
    if grade.joint.share is not None:
        axes.xaxis.set_major_formatter("{x:.0%}")
    page.down += 0.3


def _dress(axes: Axes) -> None:
    axes.tick_params(labelsize=_POINTS["ticks"])
    axes.spines[["top", "right"]].set_visible(False)
