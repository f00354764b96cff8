"""The words of a map, whoever draws it: what was patched, what the numbers and colours mean."""

import textwrap
import unicodedata
from collections.abc import Callable
from difflib import SequenceMatcher
from html import escape
from math import ceil

from core.many.answer import KEEPS, Answer
from core.many.pairs import counted
from core.many.summary import LEVEL, SAMPLES
from core.question.experiment import SIDES, Experiment
from core.question.metrics import METRICS
from core.question.tokens import Token, visible
from core.result import (
    FROZEN,
    Answered,
    ComponentMap,
    Grade,
    Map,
    ModelCard,
    OfOnePair,
    Patched,
    PathMap,
    Result,
)

_LONGEST_LABEL = 24
_LONGEST_TICK = 14
_LONGEST_IN_A_LINE = 10  # of two tokens in one line

# What some sites are in a sentence; others are called by their own names.
_ACTIVATIONS = {
    "resid_pre": "stream before",
    "head_z": "output z of",
    "head_q": "query of",
    "head_k": "key of",
    "head_v": "value of",
    "head_pattern": "attention pattern of",
    "head_z_position": "output z of",
}


def wording(result: Answered) -> str:
    """The experiment's metric as a formula with both tokens spelled out."""
    return formula(result, result.experiment.metric)


def label(token: Token) -> str:
    return token.label


def within_a_sentence(title: str) -> str:
    """A title with a small letter at its beginning, unless that is an abbreviation."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def quoted(token: Token) -> str:
    """A token in quotation marks, its spaces as they are."""
    return f'"{plain(token.text)}"'


def plain(text: str) -> str:
    """A text with its spaces as they are, and all else that prints nothing made visible."""
    return " ".join(map(visible, text.split(" ")))


def formula(of: Answered, metric: str, name: Callable[[Token], str] = label) -> str:
    """A metric as a formula with both tokens spelled out; of many pairs each has its own."""
    tokens = {"target": "target", "foil": "foil"}
    if isinstance(of, OfOnePair):
        tokens = {"target": name(of.target), "foil": name(of.foil)}
    return METRICS[metric].formula.format(**tokens)


def averaged(answer: Answer) -> str:
    """What the number of a cell is over many pairs: "Recovery (ratio of means)"."""
    metric = answer.experiment.metric
    how = "mean"
    if metric == "recovery":
        how = "mean of ratios" if answer.of_ratios else "ratio of means"
    return f"{METRICS[metric].title} ({how})"


def caption(answer: Answer) -> str:
    """What a map over many pairs is of: the number of a cell, the model, the patch, which pairs,
    and what its intervals are."""
    card = answer.model
    return (
        f"{averaged(answer)} of {card.name} ({card.layers} layers, {card.dtype}, weights"
        f" {card.fingerprint}), {summary(answer)}; {answer.used} ({KEEPS[answer.keep]})."
        f" {LEVEL:.0%} intervals of a bootstrap over pairs ({SAMPLES:,} samples, seed"
        f" {answer.seed}; {answer.drawn})."
    )


def column_name(answer: Answer, column: int) -> str:
    """A column in words: "S2", "head 4", or "position 3 (·and in 120 of 300 texts)"."""
    label = answer.columns[column]
    if answer.axes[1] == "role":
        return label
    if answer.axes[1] != "position":
        return f"{answer.axes[1]} {label}"
    token, _ = answer.tokens[column]  # the commonest of all pairs, used or not
    there = sum(of.pair.clean[column] == token.id for of in answer.pairs)
    return f"position {label} ({token.label} in {there:,} of {counted(answer.summary.n, 'text')})"


def marks_mean(answer: Answer) -> str:
    """What the marks on some cells of a map over many pairs say."""
    says = f"Crossed out: no effect is within the {LEVEL:.0%} interval."
    if answer.axes[1] == "head":
        says += " Framed: more than two standard deviations from the mean of all cells."
    return says


def effects_differ(answer: Answer) -> str:
    """What the numbers of a difference between two parts of the pairs are."""
    says = (
        "The effect of a patch in the first less that in the second; an effect is by how much the"
        f" patch moved the mean from that of the same pairs’ unpatched ({answer.unpatched}) runs"
    )
    if answer.experiment.metric == "recovery":
        says += ", as a share of the difference between the clean and corrupted runs of those pairs"
    more = f"towards the {answer.other} run" if answer.other else "up"
    return f"{says}. Blue: it moves the first further {more}; orange: less far; no colour: as far."


def summary(result: Map | Grade) -> str:
    """What was patched, with what and into what."""
    experiment = result.experiment
    way = f"{result.patched_with} into the {result.unpatched} run ({experiment.direction})"
    if isinstance(result, Grade):
        return f"{' '.join(result.components) or 'nothing'}, all at once: {way}"
    if isinstance(result, PathMap):
        return (
            f"what every sender adds to {result.receiver} along its direct path,"
            f" {FROZEN[result.frozen]}: {way}"
        )
    if isinstance(result, ComponentMap):
        return f"each head and each MLP alone, at all positions: {way}"
    window = ""
    if experiment.window:
        window = f", a window of {experiment.window} on either side, patched together"
        window += " (a joint effect)"
    return f"{experiment.site}{at_position(result)}{window}: {way}"


def at_position(result: Map) -> str:
    """Of a map of heads at one position, which: " at position 5"; or of a role: " at S2"."""
    if isinstance(result, Answer):
        _, at = result.at_column or (0, "")
        return f" at {'position ' * at.isdigit()}{at}" if at else ""
    at = getattr(result, "at_position", None)
    return "" if at is None else f" at position {at}"


def sender(of: ComponentMap, row: int, column: int) -> str:
    """A sender as it is written: "9.6" or "mlp3"."""
    layer, name = of.rows[row], of.columns[column]
    return f"mlp{layer}" if name == "MLP" else f"{layer}.{name}"


def sender_is(path_map: PathMap, row: int, column: int) -> str:
    """What a sender is: "what the MLP of layer 3 adds to the stream"."""
    layer, name = path_map.rows[row], path_map.columns[column]
    who = f"the MLP of layer {layer}" if name == "MLP" else f"head {name} of layer {layer}"
    return f"what {who} adds to the stream"


def embedding_sends(path_map: PathMap) -> str:
    """The embedding as a sender: what it is, and what it does."""
    metric = path_map.experiment.metric
    value = path_map.embedding[metric]
    change = value - path_map.plain(metric)
    return (
        f"embedding into {path_map.receiver} (the vectors of the tokens and of their positions,"
        f" before layer 0): {number(metric, value)}, a change of"
        f" {'+' * (change > 0)}{number(metric, change)}"
    )


def rows_are(result: Map) -> str:
    """What stands down the rows of a map."""
    return "sender's layer" if isinstance(result, PathMap) else "patched layer"


def replaced(result: Result, row: int, column: int) -> str:
    """All that one cell's patch replaced: "the output z of head 3 in layer 2 at position 5"."""
    head, position = None, column
    if result.axes[1] == "head":
        head, position = column, result.at_position
    return cell_replaced(result.experiment, result.model, result.rows[row], head, position)


def cell_replaced(
    of: Experiment, model: ModelCard, label: str, head: int | None, position: int | None
) -> str:
    """All that a patch replaces in the row `label`, a layer's number or "embedding", at a head and
    a position, None being all."""
    what = _row_name(label, of.window, model.layers)
    if what.startswith("layers"):
        what += f" (a window of {of.window} on either side of layer {label}, a joint effect)"
    if head is not None:
        what = f"head {head} in {what}"
    if label.isdigit():
        what = f"{_ACTIVATIONS.get(of.site, f'{of.site} of')} {what}"
    return f"the {what} at {'every position' if position is None else f'position {position}'}"


def by(of: Patched) -> str:
    """What an activation is replaced by: "the clean run’s"."""
    return f"the {of.other} run’s" if of.other else of.patched_with


def row_name(result: Map, row: int) -> str:
    """The layer that a row patches, the layers of a window, or the embedding."""
    return _row_name(result.rows[row], result.experiment.window, result.model.layers)


def _row_name(name: str, window: int, layers: int) -> str:
    if window and name.isdigit():
        first, last = max(0, int(name) - window), min(layers - 1, int(name) + window)
        if first < last:
            return f"layers {first} to {last}"
    return layer_name(name)


def layer_name(label: str) -> str:
    """The label of a row, a layer's number or "embedding", in words."""
    return f"layer {label}" if label.isdigit() else label


def colours_mean(result: Answered) -> str:
    """What blue and orange say on the map of a result, in one line."""
    towards, away = f"moves towards the {result.other} run", "away from it"
    if result.other is None:
        towards, away = f"rises above the {result.unpatched} run", "falls below it"
    return (
        f"Blue: the metric {towards}; orange: {away}; no colour: as in the {result.unpatched} run."
    )


def sign(result: Map) -> str:
    """Which way a metric points: what it is without a patch, and on which side of that the run that
    is put in has it."""
    metric = result.experiment.metric
    base = result.plain(metric)
    says = f"Without a patch it is {number(metric, base)}, on the {result.unpatched} run"
    if result.other is None:
        return f"{says}."
    other = result.plain(metric, result.other)
    side = "below" if other < base else "above"
    return (
        f"{says}; what is {side} that is towards the {result.other} run, where it is"
        f" {number(metric, other)}."
    )


def tick_labels(result: Map, room: float, line: float) -> dict[float, str]:
    """Column -> label, of as many columns as can be labelled where a column has the width `room`
    and a line of a label that stands upright takes `line`.

    Where the texts differ there always is one: their tokens are the first to be labelled, both
    in one line where two lines would leave others without, and one label for all that are next to
    each other where columns are narrower than a line. (Of more such places than there is room for,
    as many as fit.)
    """
    columns = range(result.values.shape[1])
    differing = _runs(differing_positions(result), apart=room >= line)
    runs = [*differing, *(range(c, c + 1) for c in columns[:: ceil(line / room)])]
    ways = []
    for between in ("\n", " / "):
        places = [((run[0] + run[-1]) / 2, _run_label(result, run, between)) for run in runs]
        ways.append(thinned(places, room, line))
    return max(ways, key=len)  # the first of two that label as many


def thinned(places: list[tuple[float, str]], room: float, line: float) -> dict[float, str]:
    """Of labels at columns, those that find room beside the ones before them in the list."""
    found: dict[float, str] = {}
    for at, text in places:
        lines = {other: (text + said).count("\n") + 2 for other, said in found.items()}
        if all(abs(at - other) * room >= line * both / 2 for other, both in lines.items()):
            found[at] = text
    return dict(sorted(found.items()))


def differing_positions(result: Map) -> list[int]:
    """The columns, if they are positions of one pair, at which the texts differ."""
    if result.axes[1] != "position" or isinstance(result, Answer):
        return []
    pairs = enumerate(zip(result.clean, result.corrupted, strict=True))
    return [p for p, (clean, corrupted) in pairs if clean != corrupted]


def _runs(positions: list[int], apart: bool) -> list[range]:
    """Positions each for itself if `apart`, or those next to each other as one."""
    runs: list[range] = []
    for position in positions:
        if runs and not apart and runs[-1].stop == position:
            runs[-1] = range(runs[-1].start, position + 1)
        else:
            runs.append(range(position, position + 1))
    return runs


def _run_label(result: Map, run: range, between: str) -> str:
    if isinstance(result, Answer):
        is_token = result.axes[1] == "position"
        said = result.tokens[run[0]][0].label if is_token else visible(result.columns[run[0]])
        return short(said.replace("·", " ") if not is_token else said, _LONGEST_TICK)
    if isinstance(result, ComponentMap):
        return result.columns[run[0]]
    if result.axes[1] != "position":
        return str(run[0])
    sides = ("".join(side[p].label for p in run) for side in (result.clean, result.corrupted))
    longest = _LONGEST_TICK if between == "\n" else _LONGEST_IN_A_LINE
    return between.join(short(side, longest) for side in dict.fromkeys(sides))


def number(metric: str, value: float) -> str:
    """What a metric says, as text: a probability in percent, everything else to 4 decimals."""
    if METRICS[metric].unit == "probability" and value == value:  # not where it is not known yet
        return ("-" if value < 0 else "") + probability(abs(value))
    return f"{value:z.4f}"


def probability(p: float) -> str:
    """In percent, with three digits that say something however small it is: "62.31%", "0.0450%",
    "1.23e-6%". What is not certain is never called 100%."""
    percent = 100 * p
    if percent >= 1 or not percent:
        return ">99.99%" if 99.995 <= percent < 100 else f"{percent:.2f}%"
    digits, exponent = f"{percent:.2e}".split("e")
    if int(exponent) < -3:
        return f"{digits}e{int(exponent)}%"
    return f"{percent:.{2 - int(exponent)}f}%"


def duration(seconds: float) -> str:
    """As a person would say it: "38 s", "2 min 10 s", "1 h 5 min"; never less than a second."""
    if (whole := max(1, round(seconds))) < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(nbytes: float) -> str:
    """Of memory or files: "5 MB", "1.2 GB"."""
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 0.9995e9 else f"{nbytes / 1e6:.0f} MB"


def short(text: str, longest: int = _LONGEST_LABEL) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def marked_words(result: Result) -> dict[str, list[tuple[str, bool]]]:
    """Both texts as words, and whether the other text has another one there."""
    texts = {run: plain(getattr(result.experiment, run)) for run in SIDES}
    words = {run: text.split(" ") for run, text in texts.items()}
    same = SequenceMatcher(None, *words.values(), autojunk=False).get_matching_blocks()
    shared = {
        run: {block[side] + i for block in same for i in range(block.size)}
        for side, run in enumerate(words)
    }
    return {
        run: [(word, i not in shared[run]) for i, word in enumerate(words[run])] for run in words
    }


def folded(words: list[tuple[str, bool]], longest: int = 600) -> list[tuple[str, bool]]:
    """Words as they are, or of more than `longest` characters those that are marked, with their
    neighbours, and the first and the last ones; an ellipsis stands for what is left out."""
    if sum(len(word) + 1 for word, _ in words) <= longest:
        return words
    near = {0, 1, 2, *range(len(words) - 6, len(words))}
    for i in [i for i, (_, marked) in enumerate(words) if marked][:8]:
        near |= set(range(i - 4, i + 5))
    kept: list[tuple[str, bool]] = []
    for i, (word, marked) in enumerate(words):
        if i in near:
            kept.append((short(word, longest // 8), marked))
        elif kept[-1][0] != "…":
            kept.append(("…", False))
    return kept


def fold(text: str, longest: int, most: int = 3) -> list[str]:
    """A text in at most so many lines of at most so many characters, cut if it is longer."""
    return textwrap.wrap(text, longest, max_lines=most, placeholder=" …") or [""]


def width_of(text: str) -> int:
    """How many characters of usual width a text takes: two a wide one, none a combining one."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def plotly_text(text: str) -> str:
    """A text that Plotly shows as it is, in labels and in templates, where `%{x}` is a variable.
    Plotly decodes `&lt;` and numbers such as `&#37;`, but not `&quot;`."""
    return escape(text, quote=False).replace("%{", "&#37;{").replace("\n", "<br>")
