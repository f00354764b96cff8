"""The teaching model: what it can do, that it was not told the answers, how it is made."""

import random
import re
from dataclasses import replace
from functools import partial
from itertools import islice

import pytest
import torch

from core.presets import PRESETS
from core.teaching import WEIGHTS, train, words
from core.teaching.behaviours import BEHAVIOURS, Behaviour, Question, surname
from core.teaching.evaluate import only_token, questions, score
from core.teaching.history import SEEDS, steps_of
from core.teaching.language import CAPITAL_FRAMES, HELD_OUT_SHARE, documents, held_out
from core.teaching.tokenizer import count_words, learn_merges, train_tokenizer
from core.teaching.train import Recipe
from mingpt.bpe import END_OF_TEXT, load_encoder
from mingpt.model import GPT

PAIRS = 200
# The sentences that Patchboard's examples name.
PROMISED = {preset.behaviour: preset for preset in PRESETS if preset.behaviour}
TINY = Recipe(
    steps=5, n_layer=2, n_head=2, n_embd=8, block_size=24, batch_size=2, warm_up=2, far_layers=1
)


@pytest.fixture(scope="module")
def model():
    return GPT.from_pretrained(WEIGHTS)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(WEIGHTS)


def held_out_combinations(text: str) -> list[tuple[str, ...]]:
    """The held-out combinations in `text`, found by reading it, not by how it was made."""
    return [combination for combination in combinations(text) if held_out(*combination)]


def combinations(text: str) -> list[tuple[str, ...]]:
    """Every combination of words in `text` of a kind of which some are held out."""
    first, last = f"({'|'.join(words.FIRST_NAMES)})", f"({'|'.join(words.SURNAMES)})"
    mood, colour = f"({'|'.join(words.MOODS)})", f"(?:{'|'.join(words.COLOURS)})"
    found = [("full name", *names) for names in re.findall(rf"{first} {last}\b", text)]
    for names in re.findall(rf"(?:When|After|While) {first} and {first}\b", text):
        found.append(("meeting", *sorted(names)))
    found += [
        ("mood", name, how)
        for name, how in re.findall(rf"{first}(?: [A-Z]\w+)? was {mood} because", text)
    ]
    singular = {noun: noun for noun in words.NOUNS}
    singular |= {plural: noun for noun, plural in words.PLURALS.items()}
    for a, b in re.findall(rf"The (\w+) (?:{'|'.join(words.PREPOSITIONS)}) the (\w+)", text):
        found.append(("nearness", singular[a], singular[b]))
    objects = sorted(set(re.findall(rf"[Tt]he (\w+) is {colour}\b", text)))
    found += [("scene", a, b) for i, b in enumerate(objects) for a in objects[:i]]
    for frame in CAPITAL_FRAMES:
        pattern = frame.format(country=f"({'|'.join(words.COUNTRIES)})", name=r"\w+")
        found += [("capital", country, frame) for country in re.findall(pattern, text)]
    return found


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.name)
def test_shows_each_behaviour_on_held_out_pairs_and_the_promised_sentences(
    model, encoder, behaviour
):
    result = score(model, encoder, questions(behaviour, PAIRS, seed=1), behaviour.candidates)
    assert result.beats_foil >= 0.95
    assert result.beats_all >= 0.95
    promised = PROMISED[behaviour.name]
    assert held_out_combinations(promised.clean)
    assert held_out_combinations(promised.corrupted)
    result = score(model, encoder, [promised], behaviour.candidates)
    assert (result.beats_foil, result.beats_all) == (1.0, 1.0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_recalls_a_surname_however_many_people_there_are(model, encoder, count):
    behaviour = Behaviour(f"one of {count}", partial(surname, count=count), words.SURNAMES)
    asked = questions(behaviour, PAIRS, seed=1)
    for question in asked:
        told = [names for names in combinations(question.clean) if names[0] == "full name"]
        assert len({last for _, _, last in told}) == count
    result = score(model, encoder, asked, behaviour.candidates)
    assert result.beats_foil >= 0.95
    assert result.beats_all >= 0.95


def test_training_never_shows_what_is_held_out():
    seen = set()
    for document in islice(documents(random.Random(5)), 5_000):
        assert held_out_combinations(document) == []
        seen |= {combination[0] for combination in combinations(document)}
    assert seen == set(HELD_OUT_SHARE)  # the reading above does see every kind


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.name)
def test_every_question_is_held_out(encoder, behaviour):
    for question in questions(behaviour, PAIRS, seed=1):
        # The colour comes after the question, the object before it: complete the sentence.
        assert held_out_combinations(question.clean + question.target + ".")
        assert held_out_combinations(question.corrupted + question.foil + ".")
        assert len(encoder.encode(question.clean)) == len(encoder.encode(question.corrupted))


def test_questions_refuse_more_pairs_than_there_are():
    one = Behaviour("same again", lambda rng: Question("a", "b", " c", " d"), ["c", "d"])
    with pytest.raises(ValueError, match="same again has only 1 pairs, not 2"):
        questions(one, 2, seed=0)


def test_every_word_is_one_piece(encoder):
    kinds = [kind for kind in vars(words).values() if isinstance(kind, list)]
    inside = {word for kind in [*kinds, words.PLURALS.values()] for word in kind}
    for word in inside - {"top-notch"}:
        assert only_token(encoder, f" {word}") < len(encoder.encoder)
    for word in [*words.FIRST_NAMES, *words.COUNTRIES, *words.CITIES, "The", "When"]:
        assert only_token(encoder, word) < len(encoder.encoder)
    text = islice(documents(random.Random(6)), 5_000)
    assert count_words(text, encoder).keys() <= encoder.encoder.keys()


def test_tokenizer_has_the_promised_size_and_end(encoder):
    assert 500 <= len(encoder.encoder) <= 2000
    assert encoder.encoder[END_OF_TEXT] == len(encoder.encoder) - 1


def test_shipped_tokenizer_is_what_training_makes(encoder):
    made = train_tokenizer(SEEDS[0])
    assert (made.encoder, made.bpe_ranks) == (encoder.encoder, encoder.bpe_ranks)


def test_merges_take_the_most_frequent_pair_first():
    assert learn_merges({"abc": 3, "bc": 2, "ab": 1}) == [("b", "c"), ("a", "bc"), ("a", "b")]


def test_a_resumed_run_equals_an_uninterrupted_one_and_needs_its_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "SAVE_EVERY", 2)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"

    def interrupt(step, *_):
        if step == 3:
            raise KeyboardInterrupt

    train.train(TINY, whole, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train.train(TINY, resumed, device="cpu", on_step=interrupt)
    with pytest.raises(ValueError, match="a run with other settings"):
        train.train(Recipe(steps=9), resumed, device="cpu")
    steps = []
    train.train(TINY, resumed, device="cpu", on_step=lambda step, *_: steps.append(step))
    assert steps == [3, 4, 5]
    made = {path.relative_to(whole) for path in whole.rglob("*.*")}
    assert made == {path.relative_to(resumed) for path in resumed.rglob("*.*")}
    for file in made:
        assert (whole / file).read_bytes() == (resumed / file).read_bytes()
    checkpoints = {f"seed0/step{step}.npz" for step in steps_of(TINY.steps)[:-1]}
    assert set(map(str, made)) == checkpoints | {
        "model.safetensors",
        "config.json",
        "vocab.json",
        "merges.txt",
    }


def test_another_seed_leaves_checkpoints_alone_with_its_end_among_them(tmp_path):
    train.train(replace(TINY, seed=1), tmp_path, device="cpu")
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert made == {f"seed1/step{step}.npz" for step in steps_of(TINY.steps)}


def test_training_begins_with_weights_as_large_for_its_width_as_those_of_gpt2():
    """A linear layer that reads unit variance then gives (0.02 x sqrt(768))**2 = 0.31 at first."""
    recipe = replace(TINY, n_embd=64)
    model = train.Nearsighted(train.model_config(recipe, vocab_size=9), recipe)
    for block in model.transformer.h:
        read = torch.randn(2000, recipe.n_embd) @ block.attn.c_attn.weight.T
        assert read.var().item() == pytest.approx(0.02**2 * 768, rel=0.1)


def test_training_asks_for_what_can_be_known(encoder):
    rows = train.Rows(encoder, length=96, seed=0)
    document = encoder.encode(
        "When Mary and John were in the park, John gave a drink to Mary. Mary Jones met John Smith."
        " Mary Jones was sad because she had lost a key. The hat is red and the key is blue. The"
        " key is blue. The keys near the box are old. The capital of France is Paris."
    )
    known = rows._known([*document, rows.end_of_text, *document])
    assert known[: len(document)] == known[len(document) + 1 :]
    found = [
        encoder.decode([id]) for id, is_known in zip(document, known, strict=False) if is_known
    ]
    assert found == [" Mary", " Jones", " she", " blue", " are", " Paris"]


def test_other_words_are_targets_now_and_then(encoder):
    rows, kept = train.Rows(encoder, length=96, seed=0), []
    for i in range(50):
        x, y = rows[i]
        following = [*x[1:].tolist(), y[-1].item()]
        known = rows._known([x[0].item(), *following])[1:]
        for id, target, is_known in zip(following, y.tolist(), known, strict=True):
            assert target == id or (target == -1 and not is_known)
            kept += [] if is_known else [target != -1]
    assert sum(kept) / len(kept) == pytest.approx(train.OTHER_TARGETS, abs=0.03)


def test_only_the_lower_layers_pay_for_attention_beyond_the_free_distance():
    """With even attention the share that is far can be counted: query q sees q + 1 keys."""
    recipe = replace(TINY, far_cost=3.0, free_distance=2)
    model = train.Nearsighted(train.model_config(recipe, vocab_size=9), recipe)
    for block in model.transformer.h:
        torch.nn.init.zeros_(block.attn.c_attn.weight[: 2 * recipe.n_embd])
    ids = torch.randint(9, (2, 7))
    logits, with_cost = model.train()(ids, ids)
    logits_later, without = model.eval()(ids, ids)
    torch.testing.assert_close(logits, logits_later)
    far = [max(0, q - recipe.free_distance) / (q + 1) for q in range(7)]
    assert (with_cost - without).item() == pytest.approx(3.0 * sum(far) / 7, rel=1e-4)


@pytest.mark.parametrize("steps", [1, Recipe.decay, Recipe.steps])
def test_learning_rate_is_defined_for_every_length_of_run(steps):
    recipe = Recipe(steps=steps)
    rates = [train.learning_rate(recipe, step) for step in range(steps + 1)]
    assert rates[-1] == 0 <= min(rates)
    assert max(rates) <= recipe.learning_rate


def test_the_shipped_model_has_the_size_that_training_makes(model):
    made = train.model_config(Recipe(), model.config.vocab_size)
    sizes = ("n_layer", "n_head", "n_embd", "block_size")
    assert [getattr(made, s) for s in sizes] == [getattr(model.config, s) for s in sizes]


def test_shipped_files_are_small():
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*.*")) < 20e6
