"""What the bundled model must be able to do: six behaviours, each as pairs of texts.

The two texts of a pair have the same length and differ in what decides the next word, so that the
right answer to the one is the wrong answer to the other. All use held-out combinations of words.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.teaching.language import (
    CAPITAL_FRAMES,
    GATHERINGS,
    handover,
    held_out,
    meeting,
    nearness,
    people,
    pronoun,
    scene_objects,
    tell,
)
from core.teaching.words import (
    CAPITALS,
    CITIES,
    COLOURS,
    COUNTRIES,
    FIRST_NAMES,
    MEN,
    MOODS,
    PLACES,
    PLURALS,
    PREPOSITIONS,
    PRONOUNS,
    SURNAMES,
    VERBS,
    WOMEN,
)

Asked = TypeVar("Asked")  # with two texts, `clean` and `corrupted`


@dataclass(frozen=True)
class Question:
    """After `clean` the next word is `target` and not `foil`; after `corrupted`, the reverse.

    `target` and `foil` begin with a space, as the tokens of a continued text do.
    """

    clean: str
    corrupted: str
    target: str
    foil: str


@dataclass(frozen=True)
class Behaviour:
    """Something to be able to do: how to ask for it, and among which words the answer lies."""

    name: str
    ask: Callable[[random.Random], Question]
    candidates: Sequence[str]  # words without their leading space


def surname(rng: random.Random, count: int | None = None) -> Question:
    """Recall the surname of one of `count` differently named people: by default, one to three."""
    count = count or rng.randint(1, 3)
    while True:
        (first, _), *others = people(rng, count, unseen=True)
        taken = {last for _, last in others}
        surnames = [s for s in SURNAMES if held_out("full name", first, s) and s not in taken]
        if len(surnames) >= 2:
            break
    target, foil = rng.sample(surnames, 2)
    names = [(first, "{surname}"), *others]
    rng.shuffle(names)
    text = " ".join(tell(rng, name, [n for n in names if n != name]) for name in names)
    return Question(
        clean=text.format(surname=target) + f" {first}",
        corrupted=text.format(surname=foil) + f" {first}",
        target=f" {target}",
        foil=f" {foil}",
    )


def indirect_object(rng: random.Random) -> Question:
    """Of two people, the one who receives is the one who does not give."""
    a, b = meeting(rng, unseen=True)
    receiver, giver = rng.sample((a, b), 2)
    gathering = rng.choice(GATHERINGS).format(a=a, b=b, place=rng.choice(PLACES))
    gave = handover(rng)
    return Question(
        clean=f"{gathering} {giver} {gave}",
        corrupted=f"{gathering} {receiver} {gave}",
        target=f" {receiver}",
        foil=f" {giver}",
    )


def capital(rng: random.Random) -> Question:
    """Name the capital of a country in a sentence that was never seen with this country."""
    # A country that begins the text is another token, without a space, that training hardly shows.
    frame = rng.choice([frame for frame in CAPITAL_FRAMES if not frame.startswith("{country}")])
    unseen = [country for country in COUNTRIES if held_out("capital", country, frame)]
    country, other = rng.sample(unseen, 2)
    name = rng.choice(FIRST_NAMES)
    return Question(
        clean=frame.format(country=country, name=name),
        corrupted=frame.format(country=other, name=name),
        target=f" {CAPITALS[country]}",
        foil=f" {CAPITALS[other]}",
    )


def agreement(rng: random.Random) -> Question:
    """The verb agrees with its subject, although a noun of the other number stands nearer."""
    noun, attractor = nearness(rng, unseen=True)
    preposition = rng.choice(PREPOSITIONS)
    return Question(
        clean=f"The {PLURALS[noun]} {preposition} the {attractor}",
        corrupted=f"The {noun} {preposition} the {PLURALS[attractor]}",
        target=" are",
        foil=" is",
    )


def gender(rng: random.Random) -> Question:
    """The pronoun fits the name."""
    while True:
        woman, man, mood = rng.choice(WOMEN), rng.choice(MEN), rng.choice(MOODS)
        if held_out("mood", woman, mood) and held_out("mood", man, mood):
            break
    first, second = rng.sample((woman, man), 2)
    return Question(
        clean=f"{first} was {mood} because",
        corrupted=f"{second} was {mood} because",
        target=f" {pronoun(first)}",
        foil=f" {pronoun(second)}",
    )


def binding(rng: random.Random) -> Question:
    """Each of two objects keeps its own colour."""
    objects = scene_objects(rng, 2, unseen=True)
    target, foil = rng.sample(COLOURS, 2)
    asked = rng.choice(objects)

    def scene(colour: str, other_colour: str) -> str:
        a, b = (f"{o} is {colour if o == asked else other_colour}" for o in objects)
        return f"The {a} and the {b}. The {asked} is"

    return Question(
        clean=scene(target, foil),
        corrupted=scene(foil, target),
        target=f" {target}",
        foil=f" {foil}",
    )


BEHAVIOURS = (
    Behaviour("surname recall", surname, SURNAMES),
    Behaviour("indirect object", indirect_object, FIRST_NAMES),
    Behaviour("capital cities", capital, CITIES),
    Behaviour("number agreement", agreement, VERBS),
    Behaviour("pronoun gender", gender, PRONOUNS),
    Behaviour("attribute binding", binding, COLOURS),
)


def questions(behaviour: Behaviour, count: int, seed: int) -> list[Question]:
    """`count` different held-out pairs; equal seeds give equal pairs.

    Raises ValueError when the language does not have that many.
    """
    return different(behaviour.ask, count, behaviour.name, seed)


def different(
    ask: Callable[[random.Random], Asked], count: int, name: str, seed: int
) -> list[Asked]:
    """`count` of what `ask` gives, no two of them with the same two texts; equal names and seeds
    give equal ones. Raises ValueError, with the name, when there are not that many."""
    rng = random.Random(f"{name} {seed}")
    found: dict[frozenset[str], Asked] = {}
    for _ in range(100 * count):
        asked = ask(rng)
        found[frozenset((asked.clean, asked.corrupted))] = asked
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"{name} has only {len(found)} pairs, not {count}")
