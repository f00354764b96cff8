"""A map -> a picture to print or to hand in, complete without a word beside it: the model, both
texts, or how many pairs and how sure they make it, the question, the map and a colour bar with
numbers.

Apart from `core.views.heatmaps`: importing matplotlib takes half a second, and few sessions print.
Lengths are inches. Every text is measured before it is placed, so that none meets another.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from core.many.answer import Answer
from core.question.experiment import DIRECTIONS
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.result import Answered, ComponentMap, Map, OfOnePair, PathMap
from core.views.colour_bar import Painting, paint
from core.views.colours import on_paper
from core.views.links import link
from core.views.words import (
    at_position,
    averaged,
    caption,
    colours_mean,
    embedding_sends,
    folded,
    formula,
    marked_words,
    marks_mean,
    quoted,
    rows_are,
    sign,
    summary,
    tick_labels,
    within_a_sentence,
)

# Texts stay texts, to be searched and edited; and the same result gives the same file.
matplotlib.rcParams |= {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "patchboard"}
matplotlib.rcParams["text.hinting"] = "none"  # a text is as wide whatever it is drawn on
FORMATS = ("png", "svg", "pdf")
_UNDATED = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
# Where each has the address of the page that it is of, which `core.views.opening` reads.
_SOURCE = {"png": "Source", "svg": "Source", "pdf": "Subject"}

_DPI = 300
_POINT = 1 / 72
_SMALL, _NORMAL, _LARGE = 8.0, 9.0, 11.0  # points
_LINE = 1.45 * _NORMAL * _POINT
_SMALL_LINE = 1.3 * _SMALL * _POINT
_MARGIN = 0.15
_LEAST_WIDTH, _MOST_WIDTH, _MOST_HEIGHT = 5.4, 17.0, 16.0  # of the map; the least suits the texts
_BAR = 0.13
_MOST_SHAPES = 5000
_PENS = (("white", 2.2), ("0.3", 0.8))  # points: a dark line on a light one shows on every colour
_RULER = RendererAgg(1, 1, _DPI)
_Words = list[tuple[str, bool]]  # and whether each is marked


def picture(result: Map, format: str, view: str = "effect", **how) -> bytes:
    """The map, of two axes, as "png" (300 dpi), "svg" or "pdf", in one of `colour_bar.VIEWS`; its
    metadata hold its address. `how` it is drawn otherwise is for `draw`."""
    return saved(draw(result, view, **how), format, link(result, view))


def saved(figure: Figure, format: str, source: str = "") -> bytes:
    """A figure as a file, with the address of the page it is from."""
    file = io.BytesIO()
    about = _UNDATED[format] | ({_SOURCE[format]: source} if source else {})
    figure.savefig(file, format=format, dpi=_DPI, metadata=about)
    return file.getvalue()


def header(result: Map, view: str = "effect") -> list[_Words]:
    """The paragraphs above the map, for who writes them elsewhere: see `draw`."""
    return [words for _, words in _header(paint(result, view), view)]


def draw(
    result: Map,
    view: str = "effect",
    bare: bool = False,
    framed: tuple[int, int] | None = None,
    surprises: Iterable[tuple[int, int]] = (),
    sure: bool = True,
    **scale,
) -> Figure:
    """The same as a figure of matplotlib; a `bare` one leaves the paragraphs above the map out.
    What `scale` it has is told as to `colour_bar.paint`.
    `framed` is a cell of `result`, which is marked, as `surprises` are with a broken line. Of many
    pairs it shows how `sure` each cell is."""
    skipped = len(result.rows)
    painting = paint(result, view, **scale)
    result, (rows, columns) = painting.result, painting.result.values.shape
    page = Page()
    cells = min(_MOST_WIDTH, max(_LEAST_WIDTH, 0.56 * min(columns, 14) + 0.2 * (columns - 14)))
    down = min(_MOST_HEIGHT, 0.3 * rows)
    left = 0.45 + max(page.width(row, _SMALL) for row in result.rows)
    page.across = left + cells + _MARGIN

    for size, words in () if bare else _header(painting, view):
        page.paragraph(words, size)
    page.down += 0.1
    across = _labels(page, result, cells / columns)
    page.down += _SMALL_LINE + 0.06 if across.numbers else 0
    axes = page.axes(left, cells, down)
    _cells(axes, painting.drawn, painting)
    skipped -= rows  # the embedding, in some views
    frames = [(cell, "--") for cell in surprises] + [(framed, "-")] * (framed is not None)
    for (row, column), style in frames:
        for colour, width in (("black", 2.4), ("white", 1.0)) if row >= skipped else ():
            line = {"ec": colour, "lw": width, "ls": style}
            at = column, row - skipped
            axes.add_patch(Rectangle(at, 1, 1, fill=False, clip_on=False, **line))
    if isinstance(result, Answer) and sure:
        _marks(axes, result, (cells / columns, down / rows))
    for row, name in enumerate(result.rows):
        y = page.down - down + (row + 0.5) * down / rows
        page.text(left - 0.06, y, name, _SMALL, ha="right")
    page.text(_MARGIN + 0.09, page.down - down / 2, rows_are(result), _NORMAL, rotation=90)
    for column in across.numbers:
        x = left + (column + 0.5) * cells / columns
        page.text(x, page.down - down - 0.04 - _SMALL_LINE / 2, str(column), _SMALL)
    for column, label in across.labels.items():
        x = left + (column + 0.5) * cells / columns
        at = {"rotation": 90} if across.upright else {}
        page.text(x, page.down + 0.05, label, _SMALL, va="top", linespacing=1.2, **at)
    page.down += 0.08 + across.height
    axis = result.axes[1]
    if isinstance(result, Answer) and axis == "position":
        axis += " (below: the commonest token there)"
    page.text(left + cells / 2, page.down + _LINE / 2, axis, _NORMAL)
    page.down += _LINE + 0.12
    _bar(page, painting, left, cells)
    page.note_code_points()
    return page.finished()


def _header(painting: Painting, view: str) -> Iterable[tuple[float, _Words]]:
    """What the picture is of and how to read it: paragraphs, and the size of each."""
    result, experiment = painting.result, painting.result.experiment
    metric = METRICS[experiment.metric]
    asks = DIRECTIONS[experiment.direction].asks.split(": ")[1]
    after = f"after patching the {within_a_sentence(SITES[experiment.site].title)}"
    if experiment.window:
        after += " in windows of layers"
    if isinstance(result, PathMap):
        after = f"after patching the paths into {result.receiver}"
    elif isinstance(result, ComponentMap):
        after = "after patching each head and each MLP alone"

    if isinstance(result, Answer):
        after += f"{at_position(result)} over pairs, {result.used}"
        yield _LARGE, said(f"{averaged(result)} {after}", True)
        yield _NORMAL, said(caption(result))
    else:
        yield from of_pair(result, f"{metric.title} {after}")
    yield _NORMAL, said(measured(result))
    patched = "" if isinstance(result, Answer) else f"Patched: {summary(result)}. "
    yield _NORMAL, said(f"{patched}{asks.capitalize()}")
    if isinstance(result, PathMap):
        yield _NORMAL, said(f"{sign(result)} The {embedding_sends(result)}.")
    if view == "effect":
        yield _NORMAL, said(colours_mean(result))
    if isinstance(result, Answer):
        yield _NORMAL, said(marks_mean(result))


def of_pair(result: OfOnePair, title: str) -> Iterable[tuple[float, _Words]]:
    """What a picture is, of which model and which pair: paragraphs, and the size of each."""
    yield _LARGE, said(title, True)
    card = result.model
    model = f"{card.name} ({card.layers} layers, {card.dtype}, weights {card.fingerprint})"
    yield _NORMAL, said(f"Model: {model}")
    for run, words in marked_words(result).items():
        yield _NORMAL, [*said(f"{run.title()} text:"), *folded(words)]
    yield _NORMAL, said(f"Target {quoted(result.target)}, foil {quoted(result.foil)}")


def measured(result: Answered) -> str:
    """The metric as a formula, and what its sign says."""
    metric = METRICS[result.experiment.metric]
    formulas = f"{metric.title} = {formula(result, result.experiment.metric, quoted)}."
    if "LD" in metric.formula:
        formulas += f" LD = {formula(result, 'logit_diff', quoted)}."
    return f"{formulas} {metric.says}"


def said(text: str, marked: bool = False) -> _Words:
    return [(word, marked) for word in text.split(" ")]


@dataclass(frozen=True)
class _Across:
    """What stands along the columns: numbers above them, labels below, upright or lying."""

    numbers: list[int]
    labels: dict[float, str]
    upright: bool
    height: float


def _labels(page: "Page", result: Map, room: float) -> _Across:
    labels = {
        column: page.drawable(label)
        for column, label in tick_labels(result, room, _SMALL_LINE).items()
    }
    widths = {
        column: max(page.width(line, _SMALL) for line in label.split("\n"))
        for column, label in labels.items()
    }
    upright = max(widths.values()) + 0.08 > room
    lines = 1 + max(label.count("\n") for label in labels.values())
    height = max(widths.values()) if upright else lines * _SMALL_LINE
    numbers = []
    if result.axes[1] == "position":
        columns = result.values.shape[1]
        step = -(-(page.width(str(columns), _SMALL) + 0.06) // room)
        numbers = list(range(0, columns, int(step)))
    return _Across(numbers, labels, upright, height)


def _bar(page: "Page", painting: Painting, left: float, length: float) -> None:
    """A lying colour bar with what it measures above and numbers below."""
    result = painting.result
    title = formula(result, result.experiment.metric, quoted)
    if isinstance(result, Answer):
        title = averaged(result)
    page.paragraph([(word, False) for word in title.split(" ")], _NORMAL, left)
    page.down += 0.03
    axes = page.axes(left, length, _BAR)
    _cells(axes, np.linspace(*painting.limits, 256)[None], painting, as_image=True)
    marks = painting.marks(length / page.width("0", _SMALL))
    for mark in marks:
        axes.plot([256 * mark.at] * 2, [1, 1.35], color="black", lw=0.8, clip_on=False)
        at = left + mark.at * length, page.down + 0.05 + (mark.tier + 0.5) * _SMALL_LINE
        page.text(*at, mark.text, _SMALL, ha=mark.anchor)
    page.down += 0.05 + _SMALL_LINE * (1 + max(mark.tier for mark in marks))


def _cells(axes: Axes, values: np.ndarray, painting: Painting, as_image: bool = False) -> None:
    """Values as cells of size 1. They are drawn one by one, which takes far less time than an
    image; but in a file of shapes they are an image if they are too many to open it quickly."""
    axes.pcolormesh(
        values,
        cmap=LinearSegmentedColormap.from_list("patchboard", on_paper(painting.scale)),
        vmin=painting.limits[0],
        vmax=painting.limits[1],
        edgecolors="face",  # no light shines through between them
        linewidth=0.4,
        antialiased=False,
        rasterized=as_image or values.size > _MOST_SHAPES,
    )
    rows, columns = values.shape
    axes.set(xlim=(0, columns), ylim=(rows, 0), xticks=[], yticks=[])


def _marks(axes: Axes, answer: Answer, cell: tuple[float, float]) -> None:
    """What can be told of cells without colours, each `cell` so wide and so high."""
    size = min(cell) / _POINT
    x, y = (0.1 * min(cell) / length for length in cell)  # from the edges of a cell to its frame
    rows, columns = np.nonzero(answer.summary.says_nothing)
    framed = np.argwhere(answer.summary.stands_out) if answer.axes[1] == "head" else ()
    for colour, width in _PENS:
        for row, column in framed:
            box = Rectangle((column + x, row + y), 1 - 2 * x, 1 - 2 * y, fill=False, ec=colour)
            box.set_linewidth(min(1.5 * width, 0.15 * size))
            axes.add_patch(box)
        crosses = {"markeredgecolor": colour, "markeredgewidth": min(width, 0.15 * size)}
        axes.plot(columns + 0.5, rows + 0.5, "x", markersize=0.3 * size, **crosses)


@dataclass
class Page:
    """A sheet that is filled from above: `down` is how far, `across` how wide it is. How high it
    is shows in the end, and only then everything is put in its place."""

    across: float = 0.0
    down: float = _MARGIN
    figure: Figure = field(default_factory=lambda: Figure(dpi=_DPI))
    code_points: dict[str, None] = field(default_factory=dict)  # stand for a character

    def __post_init__(self):
        FigureCanvasAgg(self.figure)
        self._boxes: list[tuple[Axes, tuple[float, float, float, float]]] = []
        self._texts: list[tuple[float, float, str, dict]] = []

    def width(self, text: str, size: float, bold: bool = False) -> float:
        weight = "bold" if bold else "normal"
        font = FontProperties(family=_families(text), size=size, weight=weight)
        return _RULER.get_text_width_height_descent(text, font, ismath=False)[0] / _RULER.dpi

    def text(self, x: float, y: float, text: str, size: float, **options) -> None:
        """A text around a place, which is given from the upper left corner."""
        place = {"ha": "center", "va": "center"} | options
        self._texts.append((x, y, text, {"fontsize": size} | place))

    def axes(self, left: float, width: float, height: float) -> Axes:
        """An empty box, right below all that has been placed."""
        axes = self.figure.add_axes((0, 0, 1, 1))
        self._boxes.append((axes, (left, self.down, width, height)))
        self.down += height
        return axes

    def paragraph(self, words: _Words, size: float = _NORMAL, left: float = _MARGIN) -> None:
        """Words in lines as wide as the page, the marked ones bold."""
        space = self.width("a a", size) - 2 * self.width("a", size)
        edge, x, line = self.across - _MARGIN, left, 1.45 * size * _POINT
        run: list[str] = []
        begins, bold = x, False

        def put() -> None:
            if run:
                weight = {"weight": "bold" if bold else "normal", "ha": "left"}
                self.text(begins, self.down + line / 2, " ".join(run), size, **weight)
                run.clear()

        for word, marked in words:
            for piece in self._pieces(self.drawable(word), size, marked, edge - left):
                width = self.width(piece, size, marked)
                if x > left and x + width > edge:
                    put()
                    x, self.down = left, self.down + line
                    begins = x
                if marked != bold or not run:
                    put()
                    begins, bold = x, marked
                run.append(piece)
                x = begins + self.width(" ".join(run), size, bold) + space
        put()
        self.down += line

    def _pieces(self, word: str, size: float, bold: bool, longest: float) -> Iterable[str]:
        """A word, or what fits into a line each of one that is longer."""
        while self.width(word, size, bold) > longest:
            fits = max(1, int(len(word) * longest / self.width(word, size, bold)))
            while fits > 1 and self.width(word[:fits], size, bold) > longest:
                fits -= 1
            yield word[:fits]
            word = word[fits:]
        yield word

    def drawable(self, text: str) -> str:
        """A text with code points for what no font on this machine draws."""
        drawn = {char: _drawn(char) for char in text}
        self.code_points |= dict.fromkeys(shown for char, shown in drawn.items() if shown != char)
        return "".join(map(drawn.__getitem__, text))

    def note_code_points(self) -> None:
        if self.code_points:
            points = ", ".join([*self.code_points][:8]) + ", …" * (len(self.code_points) > 8)
            note = f"Code points of what no font on the machine that drew this has: {points}"
            self.down += 0.05
            self.paragraph([(word, False) for word in note.split(" ")], _SMALL)

    def finished(self) -> Figure:
        width, height = self.across, self.down + _MARGIN
        self.figure.set_size_inches(width, height)
        for axes, (left, top, across, down) in self._boxes:
            place = left / width, 1 - (top + down) / height, across / width, down / height
            axes.set_position(place)
        for x, y, text, options in self._texts:
            self.figure.text(
                x / width,
                1 - y / height,
                text,
                parse_math=False,
                fontfamily=_families(text),
                **options,
            )
        return self.figure


def _drawn(char: str) -> str:
    return char if char == "\n" or _font_of(char) else f"[U+{ord(char):04X}]"


def _families(text: str) -> list[str]:
    """The fonts to draw a text with: the usual one, then those that have what it lacks."""
    fonts = dict.fromkeys(font for char in text if char != "\n" and (font := _font_of(char)))
    return list(dict.fromkeys((_usual().family_name, *fonts)))


@cache
def _usual():
    return font_manager.get_font(font_manager.findfont(FontProperties()))


@cache
def _font_of(char: str) -> str | None:
    """The family of a font on this machine that has a character, the usual one if it does."""
    if _usual().get_char_index(ord(char)):
        return _usual().family_name
    entries = font_manager.fontManager.ttflist
    for entry in sorted(entries, key=lambda entry: (entry.style != "normal", entry.name)):
        if (
            "last resort" in entry.name.lower()
        ):  # matplotlib's own: boxes with a class of characters
            continue
        try:
            font = font_manager.get_font(entry.fname)
        except (OSError, RuntimeError):  # a file that has gone, or that is no font after all
            continue
        if font.scalable and font.get_char_index(ord(char)):
            return entry.name
    return None
