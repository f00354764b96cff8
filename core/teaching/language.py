"""The little language: stories, scenes and facts from a random generator, and what is held out.

A document is a few sentences of one kind, one of `KINDS`. Every behaviour the model shall show is
learnt from one of them, and for each some combinations of words never occur in training
(`held_out`); the evaluation uses nothing else, so that it cannot be passed by memory.
"""

import random
import zlib
from collections.abc import Callable, Iterator, Sequence

from core.teaching.words import (
    CAPITALS,
    CITIES,
    COLOURS,
    COUNTRIES,
    FIRST_NAMES,
    GIFTS,
    JOBS,
    MOODS,
    NOUNS,
    OBJECTS,
    PLACES,
    PLURALS,
    PRAISE,
    PREPOSITIONS,
    QUALITIES,
    SURNAMES,
    WOMEN,
)

# Sentences about one person or two, `{a}` and `{b}`, always by full name: a surname can be known
# at every mention after the first, which is what makes the model learn to look it up.
ALONE = (
    "{a} was a {praise} {job}.",
    "{a} lived in {city}.",
    "{a} had a {gift}.",
    "{a} worked in the {place}.",
    "{a} walked to the {place}.",
    "{a} was {mood} because {pronoun} {reason}.",
    "Everyone liked {a}.",
    "One day {a} went to {city}.",
    "Then {a} went home.",
)
TOGETHER = (
    "{a} met {b} in the {place}.",
    "{a} and {b} were friends.",
    "{a} called {b}.",
    "{a} helped {b}.",
    "{a} saw {b} in {city}.",
    "{a} sent a {gift} to {b}.",
    "{a} liked {b}.",
    "One day {a} visited {b}.",
    "Then {a} thanked {b}.",
)
GATHERINGS = (
    "When {a} and {b} went to the {place},",
    "When {a} and {b} were in the {place},",
    "After {a} and {b} came to the {place},",
    "While {a} and {b} sat in the {place},",
)
HANDOVERS = ("gave a {gift} to", "showed a {gift} to", "handed a {gift} to", "sold a {gift} to")
# What comes before the name of a country's capital.
CAPITAL_FRAMES = (
    "The capital of {country} is",
    "The capital city of {country} is",
    "In {country} the capital is",
    "{country} is a country and the capital is",
    "{name} went to {country} to see",
    "{name} flew to {country} and landed in",
    "The people of {country} are proud of",
    "The road through {country} leads to",
    "A train crossed {country} and stopped in",
    "Our friends in {country} live in",
)
REASONS = (
    "had worked all day",
    "had lost a key",
    "had won the game",
    "had run all the way",
    "could not sleep",
    "had seen a friend",
    "loved the sun",
    "had to go home",
)

# One in how many combinations is held out, by role. The roles and their words:
HELD_OUT_SHARE = {
    "full name": 8,  # first name, surname: anywhere
    "meeting": 8,  # two first names in alphabetical order: as giver and receiver
    "capital": 4,  # country, frame of CAPITAL_FRAMES
    "nearness": 6,  # noun, noun it is near to (both in the singular): in either number
    "mood": 4,  # first name, mood
    "scene": 8,  # two objects in alphabetical order: coloured in one scene
}
# Held out by name, as they are the first examples a newcomer sees.
SHOWN = {
    ("full name", "Michelle", "Jones"),
    ("full name", "Michelle", "Smith"),
    ("full name", "Jessica", "Jones"),
    ("meeting", "John", "Mary"),
    ("capital", "France", CAPITAL_FRAMES[0]),
    ("capital", "Italy", CAPITAL_FRAMES[0]),
    ("nearness", "key", "cabinet"),
    ("mood", "Mary", "tired"),
    ("mood", "John", "tired"),
    ("scene", "ball", "key"),
}


def held_out(role: str, *words: str) -> bool:
    """Whether these words never occur in training in this role, a key of `HELD_OUT_SHARE`."""
    combination = (role, *words)
    checksum = zlib.crc32(" ".join(combination).encode())
    return combination in SHOWN or checksum % HELD_OUT_SHARE[role] == 0


def people(rng: random.Random, count: int, unseen: bool = False) -> list[tuple[str, str]]:
    """`count` different first names with different surnames; all held out, or none."""
    while True:
        firsts, lasts = rng.sample(FIRST_NAMES, count), rng.sample(SURNAMES, count)
        names = list(zip(firsts, lasts, strict=True))
        if all(held_out("full name", *name) == unseen for name in names):
            return names


def meeting(rng: random.Random, unseen: bool = False) -> list[str]:
    """Two first names, in any order, who may meet in training; with `unseen`, who may not."""
    while True:
        names = rng.sample(FIRST_NAMES, 2)
        if held_out("meeting", *sorted(names)) == unseen:
            return names


def mood(rng: random.Random, first: str, unseen: bool = False) -> str:
    """A mood that this person may have in training; with `unseen`, may not."""
    return rng.choice([m for m in MOODS if held_out("mood", first, m) == unseen])


def nearness(rng: random.Random, unseen: bool = False) -> list[str]:
    """Two nouns, the first of which may be near the second in training; with `unseen`, may not."""
    while True:
        nouns = rng.sample(NOUNS, 2)
        if held_out("nearness", *nouns) == unseen:
            return nouns


def scene_objects(rng: random.Random, count: int, unseen: bool = False) -> list[str]:
    """`count` objects of which any two may share a scene in training; with `unseen`, none may."""
    while True:
        objects = rng.sample(OBJECTS, count)
        pairs = [sorted((a, b)) for i, a in enumerate(objects) for b in objects[:i]]
        if all(held_out("scene", *pair) == unseen for pair in pairs):
            return objects


def pronoun(first: str) -> str:
    """The pronoun for this first name."""
    return "she" if first in WOMEN else "he"


def tell(rng: random.Random, name: tuple[str, str], others: Sequence[tuple[str, str]]) -> str:
    """A sentence about the person of this name (first name, surname), or also one of `others`."""
    first, last = name
    template = rng.choice(TOGETHER if others and rng.random() < 0.6 else ALONE)
    return template.format(
        a=f"{first} {last}",
        b=" ".join(rng.choice(others)) if others else "",
        praise=rng.choice(PRAISE),
        job=rng.choice(JOBS),
        city=rng.choice(CITIES),
        place=rng.choice(PLACES),
        gift=rng.choice(GIFTS),
        mood=mood(rng, first),
        pronoun=pronoun(first),
        reason=rng.choice(REASONS),
    )


def story(rng: random.Random) -> str:
    """One to three people, named in full at every mention."""
    names = people(rng, rng.choice((1, 2, 2, 3, 3)))
    sentences = []
    for i in range(rng.randint(4, 8)):
        # Introduce everyone first, then let chance decide.
        name = names[i] if i < len(names) else rng.choice(names)
        sentences.append(tell(rng, name, [other for other in names if other != name]))
    return " ".join(sentences)


def scene(rng: random.Random) -> str:
    """Coloured objects, then every colour again and again: a binding to look up each time."""
    objects = scene_objects(rng, rng.choice((2, 2, 3)))
    colours = rng.sample(COLOURS, len(objects))
    facts = [f"the {o} is {c}" for o, c in zip(objects, colours, strict=True)]
    sentences = [" and ".join(facts), *rng.choices(facts, k=rng.randint(3, 6))]
    return " ".join(f"{sentence.capitalize()}." for sentence in sentences)


def handovers(rng: random.Random) -> str:
    """Two people meet and hand each other things."""
    a, b = meeting(rng)
    giver, receiver = rng.sample((a, b), 2)
    gathering = rng.choice(GATHERINGS).format(a=a, b=b, place=rng.choice(PLACES))
    sentences = [f"{gathering} {giver} {handover(rng)} {receiver}."]
    for _ in range(rng.randint(0, 2)):
        giver, receiver = receiver, giver
        sentences.append(f"Then {giver} {handover(rng)} {receiver}.")
    return " ".join(sentences)


def handover(rng: random.Random) -> str:
    """What a giver does, up to the name of the receiver."""
    return rng.choice(HANDOVERS).format(gift=rng.choice(GIFTS))


def capitals(rng: random.Random) -> str:
    """Countries and their capitals."""
    sentences = []
    for _ in range(rng.randint(1, 3)):
        country = rng.choice(COUNTRIES)
        frames = [f for f in CAPITAL_FRAMES if not held_out("capital", country, f)]
        before = rng.choice(frames).format(country=country, name=rng.choice(FIRST_NAMES))
        sentences.append(
            rng.choices(
                (
                    f"{before} {CAPITALS[country]}.",
                    f"{CAPITALS[country]} is the capital of {country}.",
                    f"{country} is far from {rng.choice(COUNTRIES)}.",
                ),
                weights=(4, 1, 1),
            )[0]
        )
    return " ".join(sentences)


def near(rng: random.Random) -> str:
    """Things near other things, of the same or the other number."""
    sentences = []
    for _ in range(rng.randint(1, 3)):
        noun, attractor = nearness(rng)
        plural = rng.random() < 0.5
        subject = PLURALS[noun] if plural else noun
        other = PLURALS[attractor] if rng.random() < 0.5 else attractor
        verb = "are" if plural else "is"
        sentences.append(
            f"The {subject} {rng.choice(PREPOSITIONS)} the {other} {verb} {rng.choice(QUALITIES)}."
        )
    return " ".join(sentences)


def moods(rng: random.Random) -> str:
    """People in a mood, and why."""
    sentences = []
    for _ in range(rng.randint(1, 3)):
        first, other = rng.sample(FIRST_NAMES, 2)
        how, why = mood(rng, first), rng.choice(REASONS)
        if rng.random() < 0.8:
            sentences.append(f"{first} was {how} because {pronoun(first)} {why}.")
        else:
            sentences.append(f"{first} and {other} were {how} because they {why}.")
    return " ".join(sentences)


# Kinds of document and how often they occur. Stories, outings and scenes are the larger part by
# far: with fewer, looking up a surname or a colour is never learnt.
KINDS: dict[Callable[[random.Random], str], int] = {
    story: 34,
    scene: 38,
    handovers: 14,
    capitals: 8,
    near: 5,
    moods: 6,
}


def documents(rng: random.Random) -> Iterator[str]:
    """Documents of the training language without end."""
    kinds, weights = list(KINDS), list(KINDS.values())
    while True:
        yield rng.choices(kinds, weights)[0](rng)
