"""Two texts and a tokenizer -> a Pair that can be patched.

Every mistake in the texts and tokens of an experiment is caught here, in words, so that nothing
later needs to check again. It does not know the network's weights.
"""

from dataclasses import dataclass

from core.errors import UserError
from core.experiment import Experiment
from core.tokens import Token, part_at, single_token, tokenize
from mingpt.bpe import Encoder


@dataclass(frozen=True)
class Pair:
    """The clean and the corrupted text as tokens, equally many, differing somewhere."""

    clean: tuple[Token, ...]
    corrupted: tuple[Token, ...]

    @property
    def differing(self) -> tuple[int, ...]:
        """The positions at which the two differ."""
        both = zip(self.clean, self.corrupted, strict=True)
        return tuple(i for i, (a, b) in enumerate(both) if a.id != b.id)


def make_pair(experiment: Experiment, encoder: Encoder, most: int) -> Pair:
    """The experiment's two texts for a model that reads `most` tokens. Raises UserError."""
    clean, corrupted = (
        tokenize(text, encoder, most=most, field=field, bos=experiment.bos)
        for field, text in (("clean", experiment.clean), ("corrupted", experiment.corrupted))
    )
    return align(clean, corrupted)


def align(clean: tuple[Token, ...], corrupted: tuple[Token, ...]) -> Pair:
    """A Pair of two tokenized texts. Raises UserError if they cannot be matched by position."""
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
    pair = Pair(clean, corrupted)
    if not pair.differing:
        raise UserError(
            "The two texts are the same: change a word in the corrupted text.", "corrupted"
        )
    return pair


def contenders(experiment: Experiment, encoder: Encoder) -> tuple[Token, Token]:
    """The experiment's target and foil tokens. Raises UserError unless they are two tokens."""
    target = single_token(experiment.target, encoder, field="target")
    foil = single_token(experiment.foil, encoder, field="foil")
    if target.id == foil.id:
        raise UserError(
            f"Target and foil are both {target.label}: their difference would always be 0."
            " Choose another foil.",
            "foil",
        )
    return target, foil


def _at(tokens: tuple[Token, ...], position: int) -> str:
    return tokens[position].label if position < len(tokens) else "the end"
