"""What would make a better question of two texts: what the runs tell apart, and words that flip the
answer. What is doubtful about a pair is in `core.views.doubts`, texts of unequal length are in
`core.question.repairs`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import torch

from core.engine import work
from core.engine.runs import record, recording, run_bytes
from core.engine.sweep import sizes_of
from core.models import LoadedModel
from core.presets import alike
from core.question.experiment import SIDES
from core.question.repairs import text_of
from core.question.tokens import Token, can_be_typed, token
from core.reading.unembed import Unembedding
from core.result import Ranked
from core.steps import Steps, within
from core.study import PlainRuns

TRIED = 200  # words in the place of one
_MEMORY = 256 << 20  # bytes that the runs of texts which go through the model together may take
_EXPECTED = 0.01  # a token less likely than this is not what a run expects; nor is it ahead by less


@dataclass(frozen=True)
class Swap:
    """A word in the place of one token of the clean text. `text` is the text with it, `answer` what
    is then expected most besides the target, and `lead` how sure it is that this flips the answer:
    the probability by which the target leads the answer after the clean text, or the answer the
    target after the other, whichever is less."""

    word: Token
    text: str
    answer: Ranked
    lead: float


def told_apart(plain: PlainRuns, most: int = 4) -> dict[str, tuple[Ranked, ...]]:
    """What each plain run expects that the other does not, by how much more likely it is there, as
    far as it can be typed: "clean" are good targets, "corrupted" good foils."""
    logits = {side: plain.unembedding.logits(plain.state(side).states) for side in SIDES}
    probs = {side: of.softmax(dim=-1) for side, of in logits.items()}
    found = {}
    for side, other in zip(SIDES, reversed(SIDES), strict=True):
        more = probs[side] - probs[other]
        ids = more.topk(2 * most).indices.tolist()
        likely = tuple(i for i in ids if more[i] > 0 and probs[side][i] >= _EXPECTED)
        rows = plain.ranked(plain.state(side).states, likely)
        fitting = (row for row in rows if can_be_typed(row.token, plain.model.encoder))
        found[side] = tuple(islice(fitting, most))
    return found


def swaps(
    model: LoadedModel,
    clean: tuple[Token, ...],
    position: int,
    target: int | None = None,
    before: int = 0,
) -> Steps[tuple[Token, tuple[Swap, ...]]]:
    """Some TRIED words in the place of the token of a text at `position`, those that flip the
    answer, the surest first: they leave the text as many tokens. `target` is the answer to the text
    as it is, by default the likeliest, and comes first of what is given; `before` is how many
    tokens were put before the text."""
    ids = tuple(t.id for t in clean)
    words = _words(model, ids, position, before)
    tried = list(islice(words, TRIED))
    L, C, _, _, itemsize = sizes_of(model.gpt)
    most = max(1, _MEMORY // run_bytes(L, len(ids), C, itemsize))
    texts = [ids, *(text for _, text, _ in tried)]
    states = []
    for start in range(0, len(texts), most):
        part = texts[start : start + most]
        share = len(part) / len(texts)
        runs = yield from within(recording(model.gpt, *part), start / len(texts), share)
        states += [run.state for run in runs]
    found = []
    unembedding = Unembedding(model.gpt.lm_head.weight)
    unswapped = unembedding.logits(states[0]).softmax(dim=-1)
    target = unswapped.argmax().item() if target is None else target
    for (word, _, text), state in zip(tried, states[1:], strict=True):
        logits = unembedding.logits(state)
        probs = logits.softmax(dim=-1)
        answer = next(i for i in logits.topk(2).indices.tolist() if i != target)
        leads = (unswapped[target] - unswapped[answer], probs[answer] - probs[target])
        lead = min(of.item() for of in leads)
        said = token(answer, model.encoder)
        if lead >= _EXPECTED and can_be_typed(said, model.encoder):
            row = Ranked(1, said, logits[answer].item(), probs[answer].item())
            found.append(Swap(word, text, row, lead))
    return token(target, model.encoder), tuple(sorted(found, key=lambda swap: -swap.lead))


def seconds(model: LoadedModel, T: int, position: int) -> float:
    """About how long `swaps` takes on a text of T tokens."""
    L, C, M, _, _ = sizes_of(model.gpt)
    operations = TRIED * work.run_work(L, C, M, T, 0, position, T - position)
    return work.seconds_for(operations, model.gpt.lm_head.weight.device.type)


def _words(
    model: LoadedModel, ids: tuple[int, ...], position: int, before: int
) -> Iterator[tuple[Token, tuple[int, ...], str]]:
    """Words for the place of a token, each with the text that has it there, as tokens and as it is
    written: words like it, then in turn what the model expects there and what it embeds alike."""
    encoder = model.encoder
    old = token(ids[position], encoder)
    like = (encoder.encode(word) for word in alike(old.text, encoder))
    expected = _expected(model, ids[:position]) if position else ()
    in_turn = chain.from_iterable(zip_longest(expected, _embedded_alike(model, old.id)))
    seen = {old.id, None}
    for id in chain((of[0] for of in like if len(of) == 1), in_turn):
        if id in seen:
            continue
        seen.add(id)
        new = token(id, encoder)
        if _kind(new.text) != _kind(old.text):
            continue
        changed = (*ids[:position], id, *ids[position + 1 :])
        if text := text_of(changed[before:], encoder):
            yield new, changed, text


def _kind(text: str) -> tuple[bool, bool, bool, bool]:
    """What a word must share with the one whose place it takes."""
    bare = text.strip()
    return text[:1] == " ", bare.isalpha(), bare.isdigit(), bare[:1].isupper()


def _expected(model: LoadedModel, ids: tuple[int, ...]) -> list[int]:
    """All tokens, by how likely they are after a text."""
    (run,) = record(model.gpt, ids)
    logits = Unembedding(model.gpt.lm_head.weight).logits(run.state)
    return logits.argsort(descending=True, stable=True).tolist()


@torch.inference_mode()
def _embedded_alike(model: LoadedModel, id: int) -> list[int]:
    """All tokens, by the angle between their embeddings and that of a token."""
    rows = model.gpt.transformer.wte.weight.float()
    alike = torch.cosine_similarity(rows, rows[id][None], dim=-1)
    return alike.argsort(descending=True, stable=True).tolist()
