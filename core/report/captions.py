"""What a finding's figures are called, and the caption below them: all that a reader needs to know
of what is shown, made from its numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from string import ascii_lowercase

from core.guess import score
from core.question.experiment import CONTENDERS, DIRECTIONS, SIDES
from core.question.metrics import METRICS
from core.question.sites import SITES
from core.question.tokens import Token
from core.report.findings import Finding, title_of
from core.result import Map
from core.views import guesses, opening
from core.views.colour_bar import on_one_scale
from core.views.saved import Lenses
from core.views.words import (
    folded,
    marked_words,
    number,
    quoted,
    summary,
    within_a_sentence,
)

Words = list[tuple[str, bool]]  # and whether each is marked


@dataclass(frozen=True)
class Panel:
    """A figure of a finding: which of its maps it is of, and whether it is the guess of that map.
    Where there are several, each has a letter and says what it is."""

    name: str
    is_guess: bool = False
    letter: str = ""
    says: str = ""

    @property
    def heading(self) -> str:
        return f"({self.letter}) {self.says}" if self.letter else ""


def panels(of: Finding) -> list[Panel]:
    """The figures of the maps of a finding, in their order."""
    drawn = []
    for name, shown in of.maps.items():
        says = _told_apart(name, shown, [*of.maps.values()])
        if name not in of.guesses:
            drawn.append((name, False, says))
            continue
        for is_guess in (True, False):
            what = "the guess" if is_guess else "the map"
            drawn.append((name, is_guess, f"{says}: {what}" if says else what.capitalize()))
    if len(drawn) == 1:
        return [Panel(drawn[0][0])]
    return [
        Panel(name, is_guess, letter, says)
        for letter, (name, is_guess, says) in zip(ascii_lowercase, drawn, strict=False)
    ]


def _told_apart(name: str, shown: Map, maps: list[Map]) -> str:
    """What a map is that the others beside it are not."""
    asked = shown.experiment
    said = [] if name in ("", asked.site, asked.direction) else [name]
    if len({*map(_what, maps)}) > 1:
        said.append(f"{within_a_sentence(SITES[asked.site].title)} ({_what(shown)})")
    if len({of.experiment.direction for of in maps}) > 1:
        said.append(within_a_sentence(DIRECTIONS[asked.direction].title))
    told = ", ".join(said) or name
    return f"{told[:1].upper()}{told[1:]}"


def _what(shown: Map) -> str:
    """What was patched, without the runs."""
    return summary(shown).rsplit(": ", 1)[0]


# --- captions -------------------------------------------------------------------------------------


def caption(of: Finding) -> list[Words]:
    """What the figures or the table of a finding are of, in lines: the model, both texts with what
    differs marked, each in a line of its own, target and foil, the metric with its formula and
    sign, what was patched and what the runs give unpatched; of many pairs how many, and what the
    intervals are. What several figures have in common is said once, and then a line tells of each
    what it alone is. A heading is marked as a whole."""
    return _caption(of.content, of.view)


@lru_cache(maxsize=128)
def _caption(content: str, view: str) -> list[Words]:
    of = Finding("", "", content, view=view)
    return [*_in_lines(_sentences(of)), *_of_each(of), *_guessed(of)]


def _in_lines(sentences: list[Words]) -> list[Words]:
    """Sentences one after the other, but each text in a line of its own."""
    first, *others = sentences
    lines = [first]
    for sentence in others:
        is_text = sentence[0][0] in _TEXT_BEGINS and sentence[1][0] == "text:"
        if is_text or lines[-1][0][0] in _TEXT_BEGINS:
            lines.append(sentence)
        else:
            lines[-1] = _joined(lines[-1], sentence)
    return lines


_TEXT_BEGINS = ("Clean", "Corrupted")


def _joined(line: Words, sentence: Words) -> Words:
    """A line with another sentence after it."""
    *before, (last, marked) = [of for of in line if of[0]]
    ended = last if last.endswith((".", "?", "!", ":")) else f"{last}."
    return [*before, (ended, marked), *sentence]


def _sentences(of: Finding) -> list[Words]:
    """All that is said of the only figure, or of all of them alike."""
    found = of.opened.found
    if isinstance(found, Lenses):
        return [*_asked(of), *_said(_LENS_SAYS)]
    maps = list(of.maps.values())
    if not maps:
        return [*_asked(of), *_said(*_in_words(of.opened.data))]
    first, *others = maps
    if not others:
        which = _which_pairs(of.opened.data) if of.opened.kind == "many" else ""
        return [*_header(first, of.view), *_said(*_chosen(of), which)]
    return [_heading(of), *_in_common(of), *_said(*_scales(of))]


def _heading(of: Finding) -> Words:
    """That of several figures."""
    maps = [*of.maps.values()]
    headings = [_header(shown, of.view)[0] for shown in maps]
    if all(heading == headings[0] for heading in headings):
        return headings[0]
    sites = dict.fromkeys(within_a_sentence(SITES[m.experiment.site].title) for m in maps)
    patching = f"patching {_listed([f'the {site}' for site in sites])}"
    metrics = {METRICS[shown.experiment.metric].title for shown in maps}
    told = f"{metrics.pop()} after {patching}" if len(metrics) == 1 else f"What {patching} does"
    return [(word, True) for word in told.split(" ")]


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _in_common(of: Finding) -> list[Words]:
    first, *others = (_said_of(shown, of) for shown in of.maps.values())
    return [sentence for sentence in first if all(sentence in other for other in others)]


def _said_of(shown: Map, of: Finding) -> list[Words]:
    """All but the heading that is said of one of several maps; where they are of different sites,
    its panel says of which it is."""
    _, *sentences = _header(shown, of.view)
    if len({*map(_what, of.maps.values())}) > 1:
        patched = f"Patched: {_what(shown)}: ".split(" ")[:-1]
        for i, sentence in enumerate(sentences):
            if [word for word, _ in sentence[: len(patched)]] == patched:
                sentences[i] = [("Patched:", False), *sentence[len(patched) :]]
    return sentences


def _scales(of: Finding) -> Iterable[str]:
    """Which of several figures can be compared by their colours."""
    letters = {panel.name: f"({panel.letter})" for panel in panels(of) if not panel.is_guess}
    alike = [[*map(id, on_one_scale(of.maps[name], of.maps.values()))] for name in letters]
    for group in dict.fromkeys(map(tuple, alike)):
        sharing = [letter for name, letter in letters.items() if id(of.maps[name]) in group]
        if len(sharing) > 1:
            yield f"{_listed(sharing)} have one colour scale."


def _of_each(of: Finding) -> Iterable[Words]:
    """What each of several maps alone is, in lines of its own; those of which there is no more to
    say than what they are called have one together."""
    if len(of.maps) < 2:
        return
    common, called = _in_common(of), []
    for panel in panels(of):
        line: Words = [(word, False) for word in panel.heading.split(" ")]
        own = [said for said in _said_of(of.maps[panel.name], of) if said not in common]
        if not own or panel.is_guess:
            called.append(panel.heading)
        else:
            yield from _in_lines([line, *own])
    yield from _said("; ".join(called))


_LENS_SAYS = (
    "Logit lens: the final LayerNorm and the unembedding, applied to the residual stream at the"
    " last position after each layer, say what the model would predict if it stopped there. Solid"
    " lines are the logit of the target, dashed ones that of the foil; blue is the clean run,"
    " orange the corrupted one."
)


def runs(line: Words) -> list[tuple[str, bool]]:
    """A line in as few pieces as it can be told in, each marked or not."""
    pieces = groupby(line, lambda of: of[1])
    return [(" ".join(word for word, _ in run), marked) for marked, run in pieces]


def _said(*sentences: str) -> list[Words]:
    return [[(word, False) for word in sentence.split(" ")] for sentence in sentences if sentence]


def _header(shown: Map, view: str) -> list[Words]:
    from core.views.pictures import header  # only here: it takes half a second to import

    return [*header(shown, view), *_said(unpatched(shown))]


def unpatched(shown: Map) -> str:
    """What the plain runs give."""
    metric = shown.experiment.metric
    runs = (f"{run} run {number(metric, shown.plain(metric, run))}" for run in SIDES)
    return f"Unpatched: {', '.join(runs)}."


def _asked(of: Finding) -> list[Words]:
    """Of a file without a map: its model, its texts, its target and foil and its metric."""
    data, found = of.opened.data, [[(title_of(of.opened), True)]]
    card = data.get("model") or {}
    if card:
        about = (
            f"{card.get('layers')} layers, {card.get('dtype')}, weights {card.get('fingerprint')}"
        )
        found += _said(f"Model: {card.get('name')} ({about})")
    asked = _Asked(opening.saved.experiment(data))
    for run, words in marked_words(asked).items():
        found.append([*_said(f"{run.title()} text:")[0], *folded(words)])
    metric = METRICS[asked.experiment.metric]
    tokens = {name: quoted(Token(0, getattr(asked.experiment, name))) for name in CONTENDERS}
    written = metric.formula.format(**tokens)
    found += _said(
        f"Target {tokens['target']}, foil {tokens['foil']}",
        f"{metric.title} = {written}. {metric.says} Direction: {asked.experiment.direction}.",
    )
    if isinstance(data.get("clean_value"), float):
        values = (number(asked.experiment.metric, data[f"{run}_value"]) for run in SIDES)
        found += _said("Unpatched: clean run {}, corrupted run {}.".format(*values))
    return found


@dataclass(frozen=True)
class _Asked:
    """What `words.marked_words` needs."""

    experiment: object


def _in_words(data: dict) -> Iterable[str]:
    """What its page says of it, but for what is told of every finding."""
    said = data.get("in_words") or {}
    told = [str(of) for name, of in said.items() if name not in ("metric", "reading", "model")]
    return [f"{of[:1].upper()}{of[1:]}" for of in told[:8]]


def _guessed(of: Finding) -> Iterable[Words]:
    """What was expected of each map before it was seen, and how that came out, a line each."""
    letters = {(panel.name, panel.is_guess): panel.letter for panel in panels(of)}
    for name, (guess, why) in of.guesses.items():
        shown = of.maps[name]
        found = score(guess, shown)
        at, seen = letters[name, True], letters[name, False]
        said = [
            f"The guess ({at}), made while the map ({seen}) was hidden, because: “{why}”",
            f"{guesses.came_out(shown, found)} {guesses.rule(shown)}",
        ]
        if found.surprises:
            said.append("The largest surprises, in broken frames:")
            said.append("; ".join(guesses.surprised(shown, one) for one in found.surprises) + ".")
        yield [word for sentence in _said(*said) for word in sentence]


def _which_pairs(data: dict) -> str:
    if not (pairs := data.get("pairs")):
        return ""
    named = pairs if pairs.startswith("pack ") else f"file with the SHA-256 {pairs[:12]}…"
    return f"Pairs: those of the {named}."


def _chosen(of: Finding) -> Iterable[str]:
    """The cell that was chosen on the map."""
    run = of.opened.data.get("patched_run")
    if not run:
        return []
    return [f"The framed cell, and the table of its run: {run['in_words']} replaced."]
