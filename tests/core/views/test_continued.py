"""What is said of what runs would write; files and the terminal are in tests/core."""

import pytest

from core.question.sampling import Sampling
from core.question.tokens import Token
from core.result import Continuation, Written
from core.views.continued import writes

A, B = Token(1, " A"), Token(2, " B")


@pytest.mark.parametrize(
    ("clean", "patched", "corrupted", "says"),
    [
        ("AAA", "AAA", "AAA", "All three runs write the same."),
        ("AAB", "AAB", "BAB", "The patched run writes what the clean run writes."),
        ("AAB", "BAB", "BAB", "The patched run writes what the corrupted run writes."),
        ("BBB", "AAB", "ABB", "as the corrupted run for one token, and then goes its own way."),
        ("BBB", "ABB", "AAB", "as the corrupted run for one token, and ends as the clean run."),
        ("AAB", "AAA", "AAB", "as the clean and the corrupted run for 2 tokens, and then"),
        ("AAA", "BAA", "AAB", "begins as neither the clean nor the corrupted run does."),
    ],
)
def test_how_far_the_patched_run_writes_as_another(clean, patched, corrupted, says):
    texts = {"clean": clean, "patched": patched, "corrupted": corrupted}
    runs = {
        run: [Written(A if of == "A" else B, 0.5) for of in text] for run, text in texts.items()
    }
    prompts = {"clean": (), "corrupted": ()}
    of = Continuation(None, None, (), Sampling(tokens=3), prompts, runs)
    assert says in writes(of)
