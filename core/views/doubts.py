"""What makes a map not worth reading as it stands, and what to ask instead.

A map always shows something, and its strongest cell has the fullest colour, however little that
is. So what it rests on is judged apart: do the two runs differ, by enough to matter? Do they
expect the tokens that are compared? Does the model know the words?
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.question.experiment import SIDES
from core.question.metrics import MATTERS, METRICS
from core.question.tokens import Token, visible
from core.result import Map, Ranked, Result
from core.views.words import formula, number, probability, short

_LEAST_EXPECTED = 0.01  # a token less likely than this is not what a run expects
_NOISE = 100  # what both tokens' ranks are beyond on both runs is far from what the model says
_LAST = 3  # tokens of a text among which an answer has no business
_WORDS_NAMED = 3
_EXPECTED_BY = {"target": "clean", "foil": "corrupted"}


_NOTHING: Mapping[str, tuple[Ranked, ...]] = {side: () for side in SIDES}


@dataclass(frozen=True)
class Doubt:
    """What is doubtful and how much, and why it matters; and what may be asked instead: what to
    call that, and the fields of the experiment that change, none if only a person can tell. There
    may be `more` such fixes, by what they are called. Where another word in the text would help,
    `swap_at` is its position."""

    says: str
    why: str
    fix: str = ""
    changes: dict[str, str] = field(default_factory=dict)
    more: dict[str, dict[str, str]] = field(default_factory=dict)
    swap_at: int | None = None


def matters(result: Map) -> float:
    """The least effect under a result's metric that says something. Of a recovery it is half a
    logit too, as a fraction of the difference between the two runs."""
    unit = METRICS[result.experiment.metric].unit
    return MATTERS[unit] if unit else MATTERS["logits"] / abs(_apart(result, "logit_diff"))


def doubts(
    result: Result,
    contenders: dict[str, tuple[Ranked, Ranked]],
    unknown: tuple[str, ...] = (),
    typed: Callable[[Token], bool] = lambda token: True,
    apart: Mapping[str, tuple[Ranked, ...]] = _NOTHING,
    written: Callable[[tuple[Token, ...]], str | None] = lambda tokens: None,
    is_example: bool = False,
) -> tuple[Doubt, ...]:
    """What is doubtful about a result, what weighs most first.

    `contenders` are target and foil as the "clean" and the "corrupted" run have them, `unknown` the
    words of the texts that the model does not know, and `typed` says whether a token can be typed.
    `apart` is what each run expects that the other does not, and `written` gives the text that is
    read as some tokens, where there is one. An example, which has a question of its own, may change
    several places at once.
    """
    found = []
    if result.other and (hardly := _hardly_differ(result, typed)):
        found.append(hardly)
    compared = [name for name in _EXPECTED_BY if _is_compared(result, name)]
    ranks = [row.rank for rows in contenders.values() for row in rows]
    if len(compared) == 2 and min(ranks) > _NOISE:
        found.append(_neither_expected(result, apart, typed))
    elif len(compared) == 2 and _ahead(result, "clean") > 0 > _ahead(result, "corrupted"):
        found.append(_wrong_way_round(result))
    else:
        for name in compared:
            target, foil = contenders[_EXPECTED_BY[name]]
            own = target if name == "target" else foil
            if own.prob < _LEAST_EXPECTED:
                found.append(_not_expected(result, name, own, typed))
    ahead = [_ahead(result, side) for side in SIDES]
    if len(compared) == 2 and not found and 0 != ahead[0] == ahead[1]:
        found.append(
            _does_not_flip(result, contenders, apart, typed)
        )  # else what was found says why
    before = [_not_known(unknown)] if unknown else []
    if compared and (stands := _stands_already(result, written)):
        doubt, is_at_the_end = stands
        (before if is_at_the_end else found).append(doubt)  # at the end it is why others arise
    if result.other and not is_example and (changes := _changes_at_once(result, written)):
        found.append(changes)
    return (*before, *found)


def _is_compared(result: Result, name: str) -> bool:
    """Whether a metric has to do with the "target" or the "foil", and with the run that is to
    expect it: an ablation has to do with the clean run alone."""
    metric = METRICS[result.experiment.metric].formula
    return (f"{{{name}}}" in metric or "LD" in metric) and bool(result.other or name == "target")


def _apart(result: Map, metric: str) -> float:
    """By how much the two runs differ."""
    return result.plain(metric, "corrupted") - result.plain(metric, "clean")


def _ahead(result: Result, side: str) -> int:
    """Which is ahead on a run by half a logit or more: -1 the target, 1 the foil, 0 neither."""
    difference = result.plain("logit_diff", side)
    return 0 if abs(difference) < MATTERS["logits"] else 1 if difference > 0 else -1


def _likeliest(result: Result, side: str, typed: Callable[[Token], bool]) -> Token | None:
    """What a run expects most, if that can be put in."""
    first = result.top[side][0].token
    return first if typed(first) else None


def _not_known(unknown: tuple[str, ...]) -> Doubt:
    unknown = tuple(dict.fromkeys(word.strip() for word in unknown))
    named = ", ".join(f"“{short(visible(word))}”" for word in unknown[:_WORDS_NAMED])
    if len(unknown) > _WORDS_NAMED:
        named += f" and {len(unknown) - _WORDS_NAMED} more"
    return Doubt(
        f"This model does not know {named}.",
        "It reads such words in pieces that meant nothing in its training, so that what it expects"
        " after them says little.",
        "Ask GPT-2",
        {"model": "gpt2"},
    )


def _hardly_differ(result: Result, typed: Callable[[Token], bool]) -> Doubt | None:
    metric = result.experiment.metric
    if not METRICS[metric].unit:
        metric = "logit_diff"  # which a recovery is a fraction of
    unit = METRICS[metric].unit
    if abs(_apart(result, metric)) >= MATTERS[unit]:
        return None
    clean, corrupted = (number(metric, result.plain(metric, side)) for side in SIDES)
    what = METRICS[metric].title if unit == "nats" else formula(result, metric)
    says = (
        f"The two runs hardly differ: {what} is {clean} after the clean text and {corrupted} after"
        " the corrupted one."
    )
    why = {
        "logits": "Half a logit changes the odds by a factor of 1.6: less is little to bring back.",
        "probability": "Less than one percentage point is little to bring back.",
        "nats": "That is so little that no token’s probability moved by more than 10 points.",
    }[unit]
    if unit == "probability" and abs(_apart(result, "logit_diff")) >= MATTERS["logits"]:
        return Doubt(says, why, "Show the logit difference", {"metric": "logit_diff"})
    target, foil = (_likeliest(result, side, typed) for side in SIDES)
    asked = (result.target, result.foil)
    if unit == "nats" or None in (target, foil) or target == foil or (target, foil) == asked:
        return Doubt(says, why, swap_at=_differing(result)[0][0])
    why += f" The clean run expects {target.label}, the corrupted one {foil.label}."
    return Doubt(says, why, "Compare what they expect", {"target": target.text, "foil": foil.text})


def _wrong_way_round(result: Result) -> Doubt:
    target, foil = result.target, result.foil
    return Doubt(
        f"Target and foil stand the wrong way round: {foil.label} is ahead after the clean text,"
        f" {target.label} after the corrupted one.",
        "The target is meant to be the clean run’s answer: as it stands all signs are turned over.",
        "Swap them",
        {"target": foil.text, "foil": target.text},
    )


def _not_expected(result: Result, name: str, own: Ranked, typed: Callable[[Token], bool]) -> Doubt:
    side = _EXPECTED_BY[name]
    first = result.top[side][0]
    other = result.foil if name == "target" else result.target
    says = (
        f"The {side} run expects {first.token.label} ({probability(first.prob)}); the {name}"
        f" {own.token.label} is only its number {own.rank:,} ({probability(own.prob)})."
    )
    why = "The map then shows a contest between tokens that the model was not going to say."
    if first.token.text == f" {own.token.text}":
        says += " The space before it is missing."
        why = "Within a text a word’s token begins with its space: without it, it is another token."
    if first.token == other or not typed(first.token):
        return Doubt(says, why)
    return Doubt(says, why, f"Make that the {name}", {name: first.token.text})


def _does_not_flip(
    result: Result,
    contenders: dict[str, tuple[Ranked, Ranked]],
    apart: Mapping[str, tuple[Ranked, ...]],
    typed: Callable[[Token], bool],
) -> Doubt:
    leads, (ahead, behind) = contenders["corrupted"], (result.target, result.foil)
    side, name = "corrupted", "foil"  # where the one that is behind should be ahead
    if _ahead(result, "clean") > 0:
        ahead, behind = behind, ahead
        side, name = "clean", "target"
        leads = contenders["clean"][::-1]
    by = [abs(result.plain("logit_diff", run)) for run in SIDES]
    says = (
        f"The answer does not flip: {ahead.label} is ahead of {behind.label} after both texts, by"
        f" {by[0]:.2f} and by {by[1]:.2f} logits."
    )
    why = "A patch then makes a lead larger or smaller, and changes no answer."
    first = _likeliest(result, side, typed)
    if first is not None and first not in (ahead, behind):
        why += f" The {side} run expects {first.label}."
        return Doubt(says, why, f"Make that the {name}", {name: first.text})
    flips = (row.token for row in apart[side] if row.logit > leads[0].logit)
    if other := next((token for token in flips if token not in (ahead, behind)), None):
        why += f" After the {side} text {other.label} is ahead of it."
        return Doubt(says, why, f"Make that the {name}", {name: other.text})
    why += f" After the {side} text the model expects nothing that it does not expect after both."
    return Doubt(says, why, swap_at=_differing(result)[0][0])


def _neither_expected(
    result: Result, apart: Mapping[str, tuple[Ranked, ...]], typed: Callable[[Token], bool]
) -> Doubt:
    """Of a contest between tokens that the model was not going to say after any of both texts."""
    firsts = {side: result.top[side][0] for side in SIDES}
    says = (
        f"Neither {result.target.label} nor {result.foil.label} is among the first {_NOISE} after"
        " either text: the map will show noise. The model expects"
        f" {firsts['clean'].token.label} ({probability(firsts['clean'].prob)}) after the clean and"
        f" {firsts['corrupted'].token.label} ({probability(firsts['corrupted'].prob)}) after the"
        " corrupted text."
    )
    why = "Of tokens that far down, the logits move with everything, and mean little."
    target, foil = (
        next((row.token for row in (*apart[side], firsts[side]) if typed(row.token)), None)
        for side in SIDES
    )
    if None in (target, foil) or target == foil:
        return Doubt(says, why, swap_at=_differing(result)[0][0] if result.other else None)
    changes = {"target": target.text, "foil": foil.text}
    return Doubt(says, why, f"Compare {target.label} and {foil.label}", changes)


def _stands_already(
    result: Result, written: Callable[[tuple[Token, ...]], str | None]
) -> tuple[Doubt, bool] | None:
    """Of an answer that is among the last tokens of a text itself, which is then hardly what comes
    next; and whether nothing but signs comes after it."""
    texts = (result.clean, result.corrupted)
    for name in _EXPECTED_BY:
        asked = getattr(result, name)
        word = asked.text.strip().casefold()
        for side, tokens in zip(SIDES, texts, strict=True):
            at = next(
                (p for p in _last_of(tokens) if word and tokens[p].text.strip().casefold() == word),
                None,
            )
            if at is None:
                continue
            after = tokens[at + 1 :]
            ends = not any(map(str.isalnum, "".join(token.text for token in after)))
            where = (
                f"at the end of the {side} text" if ends else f"in the {side} text’s last tokens"
            )
            rest = f", before {''.join(token.label for token in after)}" if after else ""
            says = f"The {name} {asked.label} stands {where} already, at position {at}{rest}."
            why = "What is measured is what comes after the text: end it before its answer."
            cut = [written(tokens[:at]) for tokens in texts]
            if None in cut or cut[0] == cut[1]:
                return Doubt(says, why), ends
            fix = dict(zip(SIDES, cut, strict=True))
            return Doubt(says, why, "End both texts before it", fix), ends
    return None


def _last_of(tokens: tuple[Token, ...]) -> range:
    return range(max(1, len(tokens) - _LAST), len(tokens))


def _changes_at_once(
    result: Result, written: Callable[[tuple[Token, ...]], str | None]
) -> Doubt | None:
    """Of texts that differ in several places, unless the same words have only changed places."""
    places = _differing(result)
    if len(places) < 2 or _ids(result.clean) == _ids(result.corrupted):
        return None
    named, fixes = [], {}
    for place in places[:_WORDS_NAMED]:
        start, end = place[0], place[-1] + 1
        here = [
            "".join(t.label for t in text[start:end]) for text in (result.clean, result.corrupted)
        ]
        pair = " / ".join(map(short, here))
        named.append(f"{pair} at {start}")
        text = written((*result.clean[:start], *result.corrupted[start:end], *result.clean[end:]))
        if text:
            fixes[f"Change only {pair}"] = {"corrupted": text}
    if len(places) > _WORDS_NAMED:
        named.append(f"{len(places) - _WORDS_NAMED} more")
    count = {2: "Two", 3: "Three"}.get(len(places), f"{len(places)}")
    says = f"{count} changes at once: {', '.join(named)}."
    why = "The map shows what all of them do together, and no cell tells which one it is of."
    (fix, changes), *more = fixes.items() or [("", {})]
    return Doubt(says, why, fix, changes, dict(more))


def _ids(tokens: tuple[Token, ...]) -> Counter[int]:
    return Counter(token.id for token in tokens)


def _differing(result: Result) -> list[list[int]]:
    """The positions at which the texts differ, those next to each other as one place."""
    places: list[list[int]] = []
    for position, (a, b) in enumerate(zip(result.clean, result.corrupted, strict=True)):
        if a.id == b.id:
            continue
        if places and places[-1][-1] == position - 1:
            places[-1].append(position)
        else:
            places.append([position])
    return places
