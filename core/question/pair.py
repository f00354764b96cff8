"""Two texts and a tokenizer -> what can be patched, or what is wrong with it.

Every mistake in the texts and tokens of an experiment is caught here, in words, so that nothing
later needs to check again. It does not know the network's weights.
"""

import dataclasses
from dataclasses import dataclass

from core.errors import UserError
from core.question.experiment import CONTENDERS, DIRECTIONS, OF_ONE, SIDES, TEXTS, Experiment
from core.question.tokens import Token, notes, part_at, single_token, tokenize
from mingpt.bpe import Encoder


@dataclass(frozen=True)
class Pair:
    """The clean and the corrupted text as tokens, equally many, differing somewhere; and the two
    tokens that compete to come next."""

    clean: tuple[Token, ...]
    corrupted: tuple[Token, ...]
    target: Token
    foil: Token


@dataclass
class Draft:
    """What of an experiment can be read so far, and under `problems` what cannot: field ->
    UserError. Without problems it is a `pair`. `notes` say what of it is read otherwise than as its
    characters."""

    clean: tuple[Token, ...] | None = None
    corrupted: tuple[Token, ...] | None = None
    target: Token | None = None
    foil: Token | None = None
    problems: dict[str, UserError] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def texts_fit(self) -> bool:
        """Whether the two texts can be run and patched, whatever target and foil are."""
        return self.problems.keys() <= {"target", "foil"}

    @property
    def texts(self) -> tuple[tuple[Token, ...], tuple[Token, ...]]:
        """The clean and the corrupted tokens. Raises the first problem with them."""
        for field, problem in self.problems.items():
            if field not in CONTENDERS:
                raise problem
        return self.clean, self.corrupted

    @property
    def pair(self) -> Pair:
        """Raises the first of the problems, if there is one."""
        for problem in self.problems.values():
            raise problem
        return Pair(self.clean, self.corrupted, self.target, self.foil)


def draft(experiment: Experiment, encoder: Encoder, most: int) -> Draft:
    """Read an experiment for a model that reads at most `most` tokens; all its problems at once."""
    result = Draft()

    def attempt(name: str, check, *args, **kwargs):
        try:
            return check(*args, **kwargs)
        except UserError as problem:
            result.problems[name] = problem

    attempt("direction", check_direction, experiment.direction)
    for name in SIDES:
        text = getattr(experiment, name)
        tokens = attempt(name, tokenize, text, encoder, most=most, field=name, bos=experiment.bos)
        setattr(result, name, tokens)
    if result.clean and result.corrupted:
        attempt("corrupted", check_alignment, result.clean, result.corrupted)
    for name in CONTENDERS:
        text = getattr(experiment, name)
        setattr(result, name, attempt(name, single_token, text, encoder, field=name))
    if result.target and result.foil:
        attempt("foil", check_contenders, result.target, result.foil)
    read = (name for name in TEXTS if getattr(result, name))
    found = (note for name in read for note in notes(getattr(experiment, name), encoder))
    result.notes = tuple(dict.fromkeys(found))
    return result


def check_direction(direction: str) -> None:
    """Raises UserError for one that needs other pairs."""
    if direction not in OF_ONE:
        raise UserError(
            f"{DIRECTIONS[direction].title} ({direction}) takes what it puts in from other pairs,"
            " and one pair alone has none: it is on the page “Many pairs”, and in `python -m core"
            f" many`. For one pair take one of {', '.join(OF_ONE)}.",
            "direction",
        )


def check_alignment(clean: tuple[Token, ...], corrupted: tuple[Token, ...]) -> None:
    if len(clean) != len(corrupted):
        where = part_at(clean, corrupted)
        longer = "clean" if len(clean) > len(corrupted) else "corrupted"
        by = abs(len(clean) - len(corrupted))
        raise UserError(
            f"The texts must have the same number of tokens, but the {longer} text has {by} more:"
            f" clean {len(clean)}, corrupted {len(corrupted)}. They part at position {where}:"
            f" {_at(clean, where)} against {_at(corrupted, where)}."
            " Swap in words that are as many tokens.",
            "corrupted",
        )
    if clean == corrupted:
        raise UserError(
            "The two texts are the same: change a word in the corrupted text.", "corrupted"
        )


def check_contenders(target: Token, foil: Token) -> None:
    if target.id == foil.id:
        raise UserError(
            f"Target and foil are both {target.label}: their difference would always be 0."
            " Choose another foil.",
            "foil",
        )


def _at(tokens: tuple[Token, ...], position: int) -> str:
    return tokens[position].label if position < len(tokens) else "the end"
