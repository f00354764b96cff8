"""The words of a map, whoever draws it: what was patched, what the numbers and colours mean."""

from html import escape

from core.question.metrics import METRICS
from core.result import Result

_LONGEST_LABEL = 24
_MOST_TICKS = 64
_CLOSE = 0.2  # of the colour bar: two names nearer than this would run into each other

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


def wording(result: Result) -> str:
    """The experiment's metric as a formula with both tokens spelled out."""
    return formula(result, result.experiment.metric)


def formula(result: Result, metric: str) -> str:
    """A metric as a formula with both tokens spelled out."""
    tokens = {"target": result.target.label, "foil": result.foil.label}
    return METRICS[metric].formula.format(**tokens)


def summary(result: Result) -> str:
    """What was patched, with what and into what."""
    experiment = result.experiment
    window = f", a window of {experiment.window} on either side" if experiment.window else ""
    return (
        f"{experiment.site}{at_position(result)}{window}: {result.patched_with} into the"
        f" {result.unpatched} run ({experiment.direction})"
    )


def at_position(result: Result) -> str:
    """Of a map of heads at one position, which: " at position 5"."""
    return "" if result.at_position is None else f" at position {result.at_position}"


def replaced(result: Result, row: int, column: int) -> str:
    """All that one cell's patch replaced: "the output z of head 3 in layer 2 at position 5"."""
    site, window, label = result.experiment.site, result.experiment.window, result.rows[row]
    what, where = row_name(result, row), at_position(result) or " at every position"
    if what.startswith("layers"):
        what += f" (a window of {window} on either side of layer {label})"
    if result.axes[1] == "head":
        what = f"head {column} in {what}"
    else:
        where = f" at position {column}"
    if label.isdigit():
        what = f"{_ACTIVATIONS.get(site, f'{site} of')} {what}"
    return f"the {what}{where}"


def row_name(result: Result, row: int) -> str:
    """The layer that a row patches, the layers of a window, or the embedding."""
    name, window = result.rows[row], result.experiment.window
    if window and name.isdigit():
        first, last = max(0, int(name) - window), min(result.model.layers - 1, int(name) + window)
        if first < last:
            return f"layers {first} to {last}"
    return layer_name(name)


def layer_name(label: str) -> str:
    """The label of a row, a layer's number or "embedding", in words."""
    return f"layer {label}" if label.isdigit() else label


def colours_mean(result: Result) -> str:
    """What blue and orange say on the map of a result, in one line."""
    towards, away = f"moves towards the {result.other} run", "away from it"
    if result.other is None:
        towards, away = f"rises above the {result.unpatched} run", "falls below it"
    return (
        f"Blue: the metric {towards}; orange: {away}; no colour: as in the {result.unpatched} run."
    )


def marks(result: Result, low: float, high: float) -> dict[float, str]:
    """What stands at a colour bar from `low` to `high`, value -> label: both plain runs, or of an
    ablation, which has to do with one of them alone, this one and the ends."""
    metric, middle = result.experiment.metric, result.plain(result.experiment.metric)
    if result.other is None:
        here = f"{result.unpatched}\n{middle:z.4g}"
        return {low: f"{low:z.4g}", middle: here, high: f"{high:z.4g}"}
    runs = {run: result.plain(metric, run) for run in ("clean", "corrupted")}
    if abs(runs["clean"] - runs["corrupted"]) < _CLOSE * (high - low):
        return {middle: "\n".join(f"{run} {value:z.4g}" for run, value in runs.items())}
    return {value: f"{run}\n{value:z.4g}" for run, value in runs.items()}


def column_label(result: Result, column: int) -> str:
    """A head, or the token at a position: both, one under the other, where the texts differ."""
    if result.axes[1] != "position":
        return f"head {column}"
    labels = (result.clean[column].label, result.corrupted[column].label)
    return "\n".join(short(label) for label in dict.fromkeys(labels))


def number(metric: str, value: float) -> str:
    """What a metric says, as text: a probability in percent, everything else to 4 decimals."""
    if METRICS[metric].unit == "probability":
        return "-" * (value < 0) + probability(abs(value))
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


def tick_step(positions: int) -> int:
    """Every how many positions there is room for a label."""
    return -(-positions // _MOST_TICKS)


def short(text: str, longest: int = _LONGEST_LABEL) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def plotly_text(text: str) -> str:
    """A text that Plotly shows as it is, in labels and in templates, where `%{x}` is a variable.
    Plotly decodes `&lt;` and numbers such as `&#37;`, but not `&quot;`."""
    return escape(text, quote=False).replace("%{", "&#37;{").replace("\n", "<br>")
