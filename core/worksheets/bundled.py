"""The worksheets that come with Patchboard, all for the teaching model."""

from collections.abc import Mapping
from dataclasses import replace

from core.presets import PRESETS
from core.question.experiment import Experiment
from core.worksheets.worksheet import Task, Worksheet

_MODEL = "teaching"
_BY_TITLE = {preset.title: preset for preset in PRESETS}


def _example(title: str, **changes) -> Experiment:
    return replace(_BY_TITLE[title].experiment(_MODEL), **changes)


_DRINK = _example("Who gets the drink?", embedding=False)
_SURNAME = _example("Which surname?")

_ASSIGNMENT = Worksheet(
    "The assignment",
    "From a pair of texts to a conclusion: a map that is given, one that you predict, and two pairs"
    " of your own. Hand in the file at the end, and your report.",
    _MODEL,
    (
        Task(
            "map",
            "Read a map",
            "Where is the surname held, and from which layer on does the last position have it?"
            " Describe what you see in two or three sentences.",
            _SURNAME,
            hint="Each cell is one run: the corrupted text, with one activation of the clean run"
            " put in. Look for the column that is blue first, and for the last column.",
        ),
        Task(
            "find",
            "When does the last position know?",
            "Which cell is the first layer from which on the last position has more than half of"
            " the answer?",
            _SURNAME,
            hint="Only the last column counts, and all later layers must be blue too.",
            find="last position",
        ),
        Task(
            "predict",
            "Predict before you look",
            "Only the last token differs here. Which cells can change anything at all?",
            _example("Another first name at the end"),
            hint="A patch changes nothing before its position, and where both texts are the same,"
            " so are both runs.",
        ),
        Task(
            "own",
            "A pair of your own",
            "Make two texts with equally many tokens that differ in one place, a target that the"
            " model expects after the clean text, and a foil that it expects after the other one."
            " Make it on the Patch page, come back and take it, and say what its map shows.",
            hint="The Patch page says in words what is wrong with a pair, and the page Tokens lists"
            " words that the model knows. Mind the space before target and foil.",
        ),
        Task(
            "own",
            "A pair that answers back",
            "Change one thing about your pair that would change the map if your reading were"
            " wrong. Take the new pair, and say whether the reading holds.",
        ),
        Task(
            "explain",
            "Conclude",
            "What can be said after these maps, and what not? Name one thing that a single pair"
            " cannot show.",
        ),
    ),
)

_FIRST_STEPS = Worksheet(
    "First steps with the teaching model",
    "Half an hour for somebody who has never patched an activation.",
    _MODEL,
    (
        Task(
            "map",
            "One activation at a time",
            "Hover over the darkest cells. What does such a cell say, in your own words?",
            _SURNAME,
            hint="The number is the logit difference of a run in which that one activation was"
            " replaced.",
        ),
        Task(
            "find",
            "The strongest cell",
            "Find a cell that brings most of the answer back.",
            _SURNAME,
            hint="Of several equally dark cells any one will do.",
            find="strongest",
        ),
        Task(
            "predict",
            "The same in another sentence",
            "Mary or John gets the drink. Which column will be dark, and up to which layer?",
            _DRINK,
            hint="What differs between the texts? The rest of the early layers cannot know.",
        ),
        Task(
            "predict",
            "The other direction",
            "Now the corrupted activations go into the clean run (noising). Will the map look the"
            " same?",
            replace(_DRINK, direction="noise"),
        ),
        Task(
            "find",
            "Which head?",
            "Each cell is now a head's output at all positions. Find the head that brings most of"
            " the answer.",
            replace(_DRINK, site="head_z"),
            find="strongest",
        ),
        Task("explain", "In one sentence", "How does the name get from the text to its end?"),
    ),
)


def _pair(clean: str, corrupted: str, target: str, foil: str) -> Experiment:
    return Experiment(clean, corrupted, target, foil, model=_MODEL)


_SENTENCE = "Michelle Jones was a top-notch student. Michelle"
_WRONG_PAIRS: Mapping[str, tuple[str, Experiment]] = {
    "no space": (
        "“The model is never sure who gets the drink: both names stay below one percent.”",
        replace(_DRINK, target="Mary", foil="John"),
    ),
    "never comes": (
        "“The surname decides whether the model says she or he.”",
        _pair(_SENTENCE, _SENTENCE.replace("Jones", "Smith"), " she", " he"),
    ),
    "no flip": (
        "“The noun beside the subject hardly has a say in the verb.”",
        _pair("The keys near the cabinet", "The keys near the cabinets", " are", " is"),
    ),
    "turned round": (
        "“Putting in the clean run moves the model away from the clean answer.”",
        _pair(_SENTENCE, _SENTENCE.replace("Jones", "Smith"), " Smith", " Jones"),
    ),
    "two changes": (
        "“The number of the subject reaches the verb.”",
        _example("Keys are, a key is", embedding=False),
    ),
    "at the end": (
        "“The surname’s own position has nothing to do with it.”",
        _example("Another first name at the end", embedding=False),
    ),
    "hardly differs": (
        "“The quality of the student does not travel through the network at all.”",
        _pair(
            _SENTENCE,
            _SENTENCE.replace(" student", " teacher"),
            " Jones",
            " Smith",
        ),
    ),
    "unknown words": (
        "“The model does not recall rare surnames.”",
        _pair(
            "Michelle Xylo was a top-notch student. Michelle",
            "Michelle Zylo was a top-notch student. Michelle",
            " Jones",
            " Smith",
        ),
    ),
    "shifted": (
        "“The word “met” holds the surname.”",
        _pair(
            "Mary Jones met John Smith in the park. Mary",
            "In the park Mary Smith met John Jones. Mary",
            " Jones",
            " Smith",
        ),
    ),
    "one pair": (
        "“The model always looks back to the earlier name.”",
        _DRINK,
    ),
}
_TEN_WAYS = Worksheet(
    "Ten ways to be wrong",
    "Ten claims, each with a pair that is meant to show it. What is wrong each time?",
    _MODEL,
    tuple(
        Task(
            "diagnose",
            f"Claim {number}",
            claim,
            experiment,
            hint="Read the texts, target and foil, what both runs say without a patch, and only"
            " then the map.",
            wrong=wrong,
        )
        for number, (wrong, (claim, experiment)) in enumerate(_WRONG_PAIRS.items(), start=1)
    ),
)

BUNDLED = {"assignment": _ASSIGNMENT, "first-steps": _FIRST_STEPS, "ten-ways": _TEN_WAYS}
