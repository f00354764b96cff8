"""What is seldom meant in a file of pairs is said with its lines, and mended as a person asks."""

from dataclasses import replace

import pytest

from core import catalogue, models
from core.errors import UserError
from core.many import mends, packs
from core.many.fitting import fit
from core.many.mends import UnlikeLengths, cautions, of_length
from core.many.pairs import Dropped, Pair
from core.many.survey import Sample

MADE = packs.PACKS["teaching-agreement"].make()[:6]
ROW = Dropped(99, "99", "no row")


@pytest.fixture(scope="module")
def encoder():
    return models.load_tokenizer(catalogue.TEACHING)


@pytest.fixture(scope="module")
def model():
    return models.load(catalogue.TEACHING, device="cpu")


def told(clean: str, line: int) -> Pair:
    """A pair of another length than others."""
    return Pair(str(line), line, clean, clean.replace("Mary", "John"), (" she",), (" he",))


LENGTHS = [told("Mary was sad because", line) for line in (2, 3, 5)]
LENGTHS += [told("Mary was tired and sad because", line) for line in (4, 6)]


@pytest.mark.parametrize("pack", [name for name in packs.PACKS if name.startswith("teaching")])
def test_of_a_pack_there_is_nothing_to_say(encoder, pack):
    assert cautions(packs.PACKS[pack].make(), [], encoder) == []


def test_a_word_without_its_space_is_named_with_its_line_and_gets_it(encoder):
    wrong = [replace(pair, target=(pair.target[0].strip(),)) for pair in MADE[:2]]
    (mend,) = cautions([*wrong, *MADE[2:]], [ROW], encoder)
    word = MADE[0].target[0]
    assert mend.says.startswith(
        f"In 2 pairs (lines 2, 3) a target or foil has no space before it, such as"
        f" “{word.strip()}” for “{word}”."
    )
    assert (mend.pairs, mend.dropped) == (MADE, [ROW])


@pytest.mark.parametrize(
    ("clean", "target"),
    [
        *(("The year 17", "45"), ("She isn", "'t"), ("The keys", " are"), ("The keys ", "are")),
        *(("The “", "keys"), ("The well-", "known")),
    ],
)
def test_what_goes_on_with_no_space_is_left_alone(encoder, monkeypatch, clean, target):
    monkeypatch.setattr(mends, "with_leading_space", lambda text, _: f" {text}")
    assert cautions([replace(MADE[0], clean=clean, target=(target,))], [], encoder) == []
    (mend,) = cautions([replace(MADE[0], clean="The keys", target=("are",))], [], encoder)
    assert mend.pairs[0].target == (" are",)


def test_a_word_that_is_no_token_with_its_space_either_is_left_alone(encoder):
    assert cautions([replace(MADE[0], target=("qqqq",))], [], encoder) == []


def test_a_pair_that_is_there_twice_is_named_with_both_lines_and_counted_once(encoder):
    again = replace(MADE[1], id="again", line=12, group="other")
    other = replace(MADE[1], id="turned", line=13, target=MADE[1].foil, foil=MADE[1].target)
    (mend,) = cautions([*MADE, again, other], [], encoder)
    assert mend.says.startswith(
        "1 pair (line 12) repeats the texts and words of one before: line 12 those of line 3."
    )
    assert mend.pairs == [*MADE, other]
    reason = "The pair is on line 3 already, and is counted once."
    assert mend.dropped == [Dropped(12, "again", reason)]


def test_several_lengths_are_named_with_their_pairs_and_lines_and_one_can_be_kept(model):
    with pytest.raises(UnlikeLengths) as refused:
        Sample(LENGTHS, [ROW], model)
    assert (
        "These have 4 tokens: 3 pairs (lines 2, 3, 5); 6 tokens: 2 pairs (lines 4, 6). Mark what"
        " corresponds by roles, as in [S1:John], or keep one length."
    ) in str(refused.value)
    most, fewer = refused.value.mends
    assert (most.fix, fewer.fix) == ("Keep the 3 pairs of 4 tokens", "Keep the 2 pairs of 6 tokens")
    sample = Sample(fewer.pairs, fewer.dropped, model)
    assert [pair.pair.line for pair in sample.pairs] == [4, 6] and sample.given == 6
    assert [row.line for row in sample.dropped] == [2, 3, 5, 99]
    assert sample.dropped[0].reason == (
        "The pair has 4 tokens, and only those of 6 tokens without roles are kept."
    )


def test_of_a_length_that_no_pair_has_those_that_are_there_are_named(encoder):
    fitted, _ = fit(LENGTHS, encoder, 64)
    with pytest.raises(UserError, match="No pair without roles has 9 tokens: there are 4 tokens"):
        of_length(LENGTHS, [], fitted, 9)
