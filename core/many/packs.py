"""Packs of pairs that come with Patchboard, each made by a generator with a seed of its own.

For the teaching model its six behaviours, on held-out pairs; for GPT-2 six that papers have asked
of it, in words that are one token each of its tokenizer.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.many import marks
from core.many.pairs import Pair
from core.teaching import behaviours
from core.teaching.behaviours import Question, different
from core.teaching.language import GATHERINGS, handover
from core.teaching.words import (
    CAPITALS,
    CITIES,
    COUNTRIES,
    FIRST_NAMES,
    JOBS,
    MEN,
    NOUNS,
    PLACES,
    PLURALS,
    PRAISE,
    PREPOSITIONS,
    SURNAMES,
    WOMEN,
)

SEED = 0
_ORDERS = (
    "ABBA: who receives (IO) is named first and who gives (S) second and again, “Mary and John …"
    " John gave … to Mary”; BABA: the giver is named first, “John and Mary … John gave … to Mary”."
)
Ask = Callable[[random.Random], Pair]


@dataclass(frozen=True)
class Pack:
    """Pairs of one kind. `vocabulary` says for whose words: "teaching" or "gpt2"."""

    name: str
    title: str
    about: str
    vocabulary: str
    ask: Ask
    count: int = 200
    groups_are: str = ""  # what the groups are, in a sentence, where their names do not say it

    def make(self) -> list[Pair]:
        """Its pairs, the same each time, with the lines they have in the file `pairs.write` makes
        of them."""
        asked = different(self.ask, self.count, self.name, SEED)
        return [
            replace(pair, id=f"{self.name}-{number}", line=number + 1)
            for number, pair in enumerate(asked, start=1)
        ]


def _pair(
    clean: str, corrupted: str, target: tuple[str, ...], foil: tuple[str, ...], group: str = ""
) -> Pair:
    """A pair from texts in which roles are marked; its id and line are still to come."""
    (clean, clean_roles), (corrupted, corrupted_roles) = map(marks.parse, (clean, corrupted))
    return Pair("", 0, clean, corrupted, target, foil, group, clean_roles, corrupted_roles)


# Of a question of the teaching model: role -> which word of both texts has it, and the group.
Reading = tuple[dict[str, int], str]
_WORD = re.compile(r"\w+")


def _teaching(ask: Callable[[random.Random], Question], read: Callable[[Question], Reading]) -> Ask:
    def asked(rng: random.Random) -> Pair:
        question = ask(rng)
        roles, group = read(question)

        def marked(text: str) -> str:
            words = list(_WORD.finditer(text))
            spans = [marks.Span(role, *words[index].span()) for role, index in roles.items()]
            return marks.write(text, sorted(spans, key=lambda span: span.start))

        target, foil = (question.target,), (question.foil,)
        return _pair(marked(question.clean), marked(question.corrupted), target, foil, group)

    return asked


def _surname_told_once(rng: random.Random) -> Question:
    """Of a surname that is told again, the first telling alone would not decide."""
    while True:
        question = behaviours.surname(rng)
        if _words(question).count(question.target.strip()) == 1:
            return question


def _words(question: Question) -> list[str]:
    return _WORD.findall(question.clean)


def _read_surname(question: Question) -> Reading:
    surname = _words(question).index(question.target.strip())
    return {"first name": surname - 1, "surname": surname}, ""


def _read_indirect_object(question: Question) -> Reading:
    words = _words(question)
    receiver, giver = (words.index(text.strip()) for text in (question.target, question.foil))
    again = words.index(question.foil.strip(), giver + 1)
    roles = {"IO": receiver, "S1": giver, "S1+1": giver + 1, "S2": again}
    return roles, "ABBA" if receiver < giver else "BABA"


def _read_capital(question: Question) -> Reading:
    texts = (_words(question), _WORD.findall(question.corrupted))
    differ = [i for i, (a, b) in enumerate(zip(*texts, strict=True)) if a != b]
    return {"country": differ[0]}, ""


def _read_binding(question: Question) -> Reading:
    words = _words(question)  # The OBJECT is COLOUR and the OBJECT is COLOUR The OBJECT is
    first, second, again = 1, 6, len(words) - 2
    is_first = words[first] == words[again]
    asked, other = (first, second) if is_first else (second, first)
    roles = {"object": asked, "its colour": asked + 2}
    roles |= {"other object": other, "other colour": other + 2, "object again": again}
    return roles, "first object asked" if is_first else "second object asked"


def _read_answer(question: Question) -> Reading:
    """All texts have one shape: no roles, and the group is the right answer."""
    return {}, question.target.strip()


_MORE_GATHERINGS = (
    "Then, {a} and {b} had a long talk at the {place}, and afterwards",
    "The day that {a} and {b} first saw the {place},",
)


def _gpt2_indirect_object(rng: random.Random) -> Pair:
    order = rng.choice(("ABBA", "BABA"))
    io, s = rng.sample(FIRST_NAMES, 2)
    roles = f"[IO:{io}]", f"[S1:{s}]"
    a, b = roles if order == "ABBA" else roles[::-1]
    gathering = rng.choice((*GATHERINGS, *_MORE_GATHERINGS))
    text = gathering.format(a=a, b=b, place=rng.choice(PLACES))
    text = re.sub(r"(\[S1:\w+\] )(\w+)", r"\1[S1+1:\2]", text)
    gave = handover(rng)
    return _pair(
        f"{text} [S2:{s}] {gave}", f"{text} [S2:{io}] {gave}", (f" {io}",), (f" {s}",), order
    )


def _gpt2_surname(rng: random.Random) -> Pair:
    first, (last, other) = rng.choice(FIRST_NAMES), rng.sample(SURNAMES, 2)
    frame = rng.choice(
        (
            "[first name:{first}] [surname:{last}] was a very {praise} {job}. {first}",
            "My friend [first name:{first}] [surname:{last}] lives in {city}. {first}",
            "The {job} was called [first name:{first}] [surname:{last}]. The name {first}",
        )
    )
    told = {"praise": rng.choice(PRAISE), "job": rng.choice(JOBS), "city": rng.choice(CITIES)}
    clean, corrupted = (frame.format(first=first, last=name, **told) for name in (last, other))
    return _pair(clean, corrupted, (f" {last}",), (f" {other}",))


def _gpt2_agreement(rng: random.Random) -> Pair:
    noun, attractor = rng.sample(NOUNS, 2)
    near = rng.choice(PREPOSITIONS)
    plural = f"The {PLURALS[noun]} {near} the {attractor}"
    singular = f"The {noun} {near} the {PLURALS[attractor]}"
    many, one = (" are", " were"), (" is", " was")
    if rng.random() < 0.5:
        return _pair(plural, singular, many, one, "plural subject")
    return _pair(singular, plural, one, many, "singular subject")


# Centuries in which the tokenizer cuts every year in two after the century, and nouns that last.
_CENTURIES = (16, 17)
_LASTING = (
    "war siege expedition alliance dispute plague campaign voyage conflict truce treaty drought"
    " famine epidemic reign rebellion occupation blockade migration project feud mission"
).split()


def _gpt2_greater_than(rng: random.Random) -> Pair:
    century, year = rng.choice(_CENTURIES), rng.randrange(2, 99)

    def text(year: int) -> str:
        return (
            f"The {noun} lasted from the year [century:{century}][year:{year:02}] to the year"
            f" {century}"
        )

    noun = rng.choice(_LASTING)
    later = tuple(f"{after:02}" for after in range(year + 1, 100))
    not_later = tuple(f"{before:02}" for before in range(year + 1))
    return _pair(text(year), text(1), later, not_later)


def _gpt2_gender(rng: random.Random) -> Pair:
    names = [(rng.choice(WOMEN), " she"), (rng.choice(MEN), " he")]
    (first, target), (other, foil) = rng.sample(names, 2)
    praise = rng.choice(PRAISE[1:])  # the first is several tokens
    frame = f"So {{}} is a really {praise} {rng.choice(JOBS)}, isn't"
    return _pair(frame.format(first), frame.format(other), (target,), (foil,), target.strip())


def _gpt2_capital(rng: random.Random) -> Pair:
    country, other = rng.sample(COUNTRIES, 2)
    frame = rng.choice(
        (
            "The capital of [country:{}] is",
            "The capital city of [country:{}] is",
            "The capital of [country:{}] is the city of",
            "Everybody knows that the capital of [country:{}] is",
        )
    )
    target, foil = (f" {CAPITALS[of]}" for of in (country, other))
    return _pair(frame.format(country), frame.format(other), (target,), (foil,))


_ALL = (
    Pack(
        "teaching-surname",
        "Which surname?",
        "A name is told once, among one to three people, and asked for again.",
        "teaching",
        _teaching(_surname_told_once, _read_surname),
    ),
    Pack(
        "teaching-ioi",
        "Who gets the drink?",
        "Of two people (IO and S), the one who does not give (S2) receives; in both orders.",
        "teaching",
        _teaching(behaviours.indirect_object, _read_indirect_object),
        300,
        _ORDERS,
    ),
    Pack(
        "teaching-capital",
        "A capital city",
        "The capital of a country, in sentences of different shape.",
        "teaching",
        _teaching(behaviours.capital, _read_capital),
    ),
    Pack(
        "teaching-agreement",
        "Keys are, a key is",
        "The verb agrees with its subject, past a noun of the other number.",
        "teaching",
        _teaching(behaviours.agreement, _read_answer),
    ),
    Pack(
        "teaching-gender",
        "She or he",
        "The pronoun fits the first name.",
        "teaching",
        _teaching(behaviours.gender, _read_answer),
    ),
    Pack(
        "teaching-binding",
        "Which colour was the ball?",
        "Two objects have two colours, and one of them is asked for.",
        "teaching",
        _teaching(behaviours.binding, _read_binding),
    ),
    Pack(
        "gpt2-ioi",
        "Who gets the drink? (GPT-2)",
        "Indirect object identification (Wang et al. 2022) in both orders, ABBA and BABA; the"
        " corrupted text has the other name at S2.",
        "gpt2",
        _gpt2_indirect_object,
        300,
        _ORDERS,
    ),
    Pack(
        "gpt2-surname",
        "Which surname? (GPT-2)",
        "A full name is told, and the first name comes again.",
        "gpt2",
        _gpt2_surname,
    ),
    Pack(
        "gpt2-agreement",
        "Keys are, a key is (GPT-2)",
        "The verb agrees with its subject, past a noun of the other number, in the present or the"
        " past: each target is one of two words.",
        "gpt2",
        _gpt2_agreement,
    ),
    Pack(
        "gpt2-greater-than",
        "Later than it began (GPT-2)",
        "A year ends after it began (Hanna et al. 2023): the target is any two digits that are"
        " greater, the foil any that are not. The corrupted text begins in the year 01 of the"
        " century, after which nearly all are right.",
        "gpt2",
        _gpt2_greater_than,
    ),
    Pack(
        "gpt2-gender",
        "She or he (GPT-2)",
        "The pronoun of the question at the end fits the first name (Mathwin et al. 2023).",
        "gpt2",
        _gpt2_gender,
    ),
    Pack(
        "gpt2-capital",
        "A capital city (GPT-2)",
        "The capital of a country, in sentences of different shape.",
        "gpt2",
        _gpt2_capital,
    ),
)
PACKS = {pack.name: pack for pack in _ALL}


def twin(pack: Pack) -> Pack | None:
    """The pack on the same behaviour for the other words, if there is one."""
    of, _, behaviour = pack.name.partition("-")
    other = {"teaching": "gpt2", "gpt2": "teaching"}[of]
    return PACKS.get(f"{other}-{behaviour}")
