"""The examples a newcomer starts from, each with a question to its map, and words to put in
the place of theirs."""

from dataclasses import dataclass

from core.catalogue import Entry
from core.question.experiment import Experiment
from core.question.tokens import in_pieces
from core.teaching import words
from mingpt.bpe import Encoder


@dataclass(frozen=True)
class Preset:
    """An experiment to try, on any model that knows its words."""

    title: str
    asks: str
    clean: str
    corrupted: str
    target: str
    foil: str
    behaviour: str = ""  # of the teaching model's, which it is an example of

    def experiment(self, model: str) -> Experiment:
        return Experiment(
            self.clean, self.corrupted, self.target, self.foil, model=model, embedding=True
        )


PRESETS = (
    Preset(
        "Which surname?",
        "Where is the surname held, and from which layer on does the last position have it?",
        "Michelle Jones was a top-notch student. Michelle",
        "Michelle Smith was a top-notch student. Michelle",
        " Jones",
        " Smith",
        "surname recall",
    ),
    Preset(
        "Another first name before it",
        "The surname stays and its owner changes: does the model still recall “Jones”?",
        "Michelle Jones was a top-notch student. Michelle",
        "Jessica Jones was a top-notch student. Michelle",
        " Jones",
        " Smith",
    ),
    Preset(
        "Another first name at the end",
        "Only the last token differs: can a patch anywhere else change anything?",
        "Michelle Jones was a top-notch student. Michelle",
        "Michelle Jones was a top-notch student. Jessica",
        " Jones",
        " Smith",
    ),
    Preset(
        "Who gets the drink?",
        "Which mention of a name decides, and when does the last position know?",
        "When Mary and John went to the store, John gave a drink to",
        "When Mary and John went to the store, Mary gave a drink to",
        " Mary",
        " John",
        "indirect object",
    ),
    Preset(
        "A capital city",
        "A fact: in which layer does it leave the country for the last position?",
        "The capital of France is",
        "The capital of Italy is",
        " Paris",
        " Rome",
        "capital cities",
    ),
    Preset(
        "Keys are, a key is",
        "Grammar: whose number reaches the verb, the subject's or that of the noun beside it?",
        "The keys near the cabinet",
        "The key near the cabinets",
        " are",
        " is",
        "number agreement",
    ),
    Preset(
        "She or he",
        "How long does a first name keep its gender to itself?",
        "Mary was tired because",
        "John was tired because",
        " she",
        " he",
        "pronoun gender",
    ),
    Preset(
        "Which colour was the ball?",
        "Two colours swap places: from which of them does the answer come?",
        "The ball is red and the key is blue. The ball is",
        "The ball is blue and the key is red. The ball is",
        " red",
        " blue",
        "attribute binding",
    ),
    Preset(
        "Two people, two surnames",
        "Two surnames swap owners: from which of the two does the answer come?",
        "Mary Jones met John Smith in the park. Mary",
        "Mary Smith met John Jones in the park. Mary",
        " Jones",
        " Smith",
    ),
    Preset(
        "A bottle of milk",
        "The same question as “Who gets the drink?”, with a sweep that others have published.",
        "After John and Mary went to the store, Mary gave a bottle of milk to",
        "After John and Mary went to the store, John gave a bottle of milk to",
        " John",
        " Mary",
    ),
    Preset(
        "The Eiffel Tower",
        "A fact that only a large text corpus teaches: where does GPT-2 look it up?",
        "The Eiffel Tower is located in the city of",
        "The Colosseum is located in the city of",
        " Paris",
        " Rome",
    ),
)


def offered(entry: Entry, encoder: Encoder) -> tuple[Preset, ...]:
    """The presets that make sense on a model: those whose texts are equally long in its tokens
    and, if its vocabulary is closed, made of words it knows."""
    return tuple(preset for preset in PRESETS if _fits(preset, entry, encoder))


def of(experiment: Experiment) -> Preset | None:
    """The preset that an experiment asks, whatever the model, the metric and what is patched."""
    asked = (experiment.clean, experiment.corrupted, experiment.target, experiment.foil)
    return next((p for p in PRESETS if (p.clean, p.corrupted, p.target, p.foil) == asked), None)


def _fits(preset: Preset, entry: Entry, encoder: Encoder) -> bool:
    texts = (preset.clean, preset.corrupted, preset.target, preset.foil)
    if entry.closed_vocabulary and any(in_pieces(text, encoder) for text in texts):
        return False
    clean, corrupted, target, foil = (len(encoder.encode(text)) for text in texts)
    return clean == corrupted and target == foil == 1


_WORD_GROUPS = {
    "First names, she": words.WOMEN,
    "First names, he": words.MEN,
    "Surnames": words.SURNAMES,
    "Countries": words.COUNTRIES,
    "Cities": words.CITIES,
    "Colours": words.COLOURS,
    "Things": [*words.PLURALS, *words.OBJECTS, *words.GIFTS],
    "Several things": words.PLURALS.values(),
    "Places": words.PLACES,
    "Jobs": words.JOBS,
    "Qualities": [*words.QUALITIES, *words.PRAISE],
    "Moods": words.MOODS,
    "Verbs": words.VERBS,
    "Pronouns": words.PRONOUNS,
    "Where": words.PREPOSITIONS,
    "Months": "January February March April May June July August September October November"
    " December".split(),
    "Days": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "Numbers": "one two three four five six seven eight nine ten".split(),
}


def word_groups(encoder: Encoder) -> dict[str, tuple[str, ...]]:
    """Words of letters alone that are one token after a space, by what they have in common; a
    group of which a tokenizer has none is left out."""
    known = {
        name: tuple(
            w for w in dict.fromkeys(group) if w.isalpha() and not in_pieces(f" {w}", encoder)
        )
        for name, group in _WORD_GROUPS.items()
    }
    return {name: group for name, group in known.items() if group}


def alike(word: str, encoder: Encoder) -> tuple[str, ...]:
    """Words that have something in common with a word, each one token after a space; with the space
    where the word has it, and without the word itself."""
    space, bare = word[: len(word) - len(word.lstrip())], word.strip()
    groups = (group for group in word_groups(encoder).values() if bare in group)
    return tuple(space + other for group in groups for other in group if other != bare)
