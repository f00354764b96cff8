"""The tokenizer: byte for byte exact, and GPT-2's own where its files are at hand."""

import random
import subprocess
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mingpt.bpe import (
    END_OF_TEXT,
    BPETokenizer,
    Encoder,
    TokenizerError,
    bytes_to_unicode,
    load_encoder,
)
from tests.builders import tiny_encoder, write_tokenizer

ROOT = Path(__file__).parents[2]
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LETTERS = "abc"
TINY = tiny_encoder()


@given(ANY_TEXT)
def test_decoding_what_was_encoded_gives_the_text(text):
    assert TINY.decode(TINY.encode(text)) == text


@given(ANY_TEXT, ANY_TEXT)
def test_the_end_of_text_is_a_token_and_as_text_it_is_text(before, after):
    assert TINY.decode([TINY.encoder[END_OF_TEXT]]) == END_OF_TEXT
    text = before + END_OF_TEXT + after
    ids = TINY.encode(text)
    assert TINY.encoder[END_OF_TEXT] not in ids
    assert TINY.decode(ids) == text


def test_every_byte_has_its_own_visible_character():
    alphabet = bytes_to_unicode()
    assert sorted(alphabet) == list(range(256))
    assert len(set(alphabet.values())) == 256
    assert all(char.isprintable() and not char.isspace() for char in alphabet.values())
    assert (alphabet[ord("A")], alphabet[ord(" ")], alphabet[ord("\n")]) == ("A", "Ġ", "Ċ")


def test_bytes_that_are_no_character_decode_to_the_replacement_character():
    half = TINY.encode("é")[:1]
    assert TINY.decode(half) == "\ufffd"
    assert TINY.token_bytes(half[0]) == b"\xc3"


@pytest.mark.parametrize("half", ["\ud83d", "\ude42"])
def test_half_of_a_surrogate_pair_is_refused_by_name_and_place(half):
    text = rf"character 3 of the text is half of a surrogate pair \(U\+{ord(half):04X}\)"
    with pytest.raises(TokenizerError, match=text):
        TINY.encode("ab" + half)


def joined_by_the_book(word: str, merges: list[tuple[str, str]]) -> list[str]:
    """Sennrich et al. 2016: of the neighbouring pairs take the one learned first, join it
    everywhere from the left, and begin again."""
    symbols = list(word)
    while True:
        learned = [pair for pair in pairwise(symbols) if pair in merges]
        if not learned:
            return symbols
        first, second = min(learned, key=merges.index)
        joined, at = [], 0
        while at < len(symbols):
            both = tuple(symbols[at : at + 2]) == (first, second)
            joined.append(first + second if both else symbols[at])
            at += 2 if both else 1
        symbols = joined


@st.composite
def vocabularies(draw) -> list[tuple[str, str]]:
    """Merges as learning gives them: of known tokens, into a new one."""
    tokens, merges = list(LETTERS), []
    for _ in range(draw(st.integers(0, 12))):
        pair = draw(st.sampled_from(tokens)), draw(st.sampled_from(tokens))
        if "".join(pair) not in tokens:
            tokens.append("".join(pair))
            merges.append(pair)
    return merges


@given(vocabularies(), st.lists(st.text(LETTERS, min_size=1, max_size=30), max_size=4))
def test_pairs_are_joined_in_the_order_in_which_they_were_learned(merges, words):
    tokens = [*LETTERS, " ", *map("".join, merges)]
    encoder = Encoder({token: id for id, token in enumerate(tokens)}, merges)
    for word in words:
        ids = encoder.encode(word)
        assert [encoder.decoder[id] for id in ids] == joined_by_the_book(word, merges)


def test_a_word_is_cut_from_its_neighbours_with_the_space_before_it():
    encoder = tiny_encoder(words=())
    text = "It's 10 o'clock,  isn't it?\n\n ok \n"
    work = encoder.encode_and_show_work(text)
    assert work["tokens"] == [
        "It", "'s", " 10", " o", "'", "clock", ",", " ", " isn", "'t", " it", "?", "\n\n", " ok",
        " \n",
    ]  # fmt: skip


def test_the_shown_work_adds_up():
    text = "Anna Lee 🙂"
    work = TINY.encode_and_show_work(text)
    assert work["bpe_idx"] == TINY.encode(text)
    assert work["parts"][1] == {
        "token": " Lee",
        "token_bytes": b" Lee",
        "token_translated": "ĠLee",
        "token_merged": ["ĠLee"],
        "token_ix": [TINY.encoder["ĠLee"]],
    }
    assert b"".join(part["token_bytes"] for part in work["parts"]).decode() == text


def test_a_word_of_a_hundred_thousand_letters_is_encoded():
    encoder = Encoder({"a": 0, "aa": 1, "aaaa": 2}, [("a", "a"), ("aa", "aa")])
    assert encoder.encode("a" * 100_003) == [2] * 25_000 + [1, 0]


# --- BPETokenizer, and the files ----------------------------------------------------------------


@pytest.mark.parametrize("names", [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")])
def test_a_tokenizer_folder_may_use_hugging_faces_or_openais_names(tmp_path, names):
    write_tokenizer(TINY, tmp_path, names)
    tokenizer = BPETokenizer(tmp_path)
    ids = tokenizer("Anna Lee")
    assert ids.tolist() == [[TINY.encoder["Anna"], TINY.encoder["ĠLee"]]]
    assert ids.dtype == torch.long
    assert tokenizer.decode(ids[0]) == "Anna Lee"
    assert BPETokenizer(str(tmp_path))("").shape == (1, 0)


def test_the_tokenizer_takes_one_text_and_one_sequence(tmp_path):
    tokenizer = BPETokenizer(write_tokenizer(TINY, tmp_path))
    for arguments in (("Anna", "np"), (["Anna", "Lee"],)):
        with pytest.raises(ValueError, match="encodes one string into a torch tensor"):
            tokenizer(*arguments)
    with pytest.raises(ValueError, match=r"one sequence of ids, got shape \(1, 2\)"):
        tokenizer.decode(tokenizer("Anna Lee"))


def test_a_folder_without_a_tokenizer_says_what_it_needs(tmp_path):
    (tmp_path / "vocab.json").write_text("{}")
    text = r"holds no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt \(or enc"
    with pytest.raises(TokenizerError, match=text):
        load_encoder(tmp_path)


def test_files_of_two_tokenizers_do_not_belong_together(tmp_path):
    write_tokenizer(TINY, tmp_path / "a")
    write_tokenizer(tiny_encoder(words=(" quite", " other")), tmp_path / "b")
    (tmp_path / "b" / "merges.txt").replace(tmp_path / "a" / "merges.txt")
    with pytest.raises(TokenizerError, match=r"merges.txt does not belong to .*vocab.json: copy"):
        load_encoder(tmp_path / "a")


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("vocab.json", b'{"a": 0', r"vocab.json cannot be read: Expecting"),
        ("merges.txt", b"\xff\xfe", r"merges.txt cannot be read: 'utf-8' codec"),
        ("merges.txt", b"a b c\n", r"merges.txt does not belong to"),
        ("vocab.json", b"[]", "vocab.json is no vocabulary"),
        ("vocab.json", b"{}", "vocab.json is no vocabulary"),
        ("vocab.json", b'{"a": []}', "vocab.json is no vocabulary"),
        ("vocab.json", b'{"a": -1}', "vocab.json is no vocabulary"),
        ("vocab.json", b'{"a": ' + b"9" * 4000 + b"}", "vocab.json is no vocabulary"),
    ],
)
def test_a_damaged_tokenizer_file_is_named(tmp_path, file, content, text):
    write_tokenizer(tiny_encoder(words=()), tmp_path)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(TokenizerError, match=text):
        load_encoder(tmp_path)


def test_a_text_is_cut_into_tokens_without_torch():
    """Which takes a second to import."""
    modules = "mingpt, mingpt.bpe, mingpt.hub, mingpt.download"
    program = f"import sys, {modules}; print('torch' in sys.modules, 'regex' in sys.modules)"
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.split() == ["False", "True"]


# --- GPT-2's own --------------------------------------------------------------------------------


def test_the_assignments_text_has_the_assignments_ids(gpt2_tokenizer_folder):
    encoder = load_encoder(gpt2_tokenizer_folder)
    ids = [48736, 5437, 373, 257, 1353, 12, 1662, 354, 3710, 13, 16738]
    assert encoder.encode("Michelle Jones was a top-notch student. Michelle") == ids
    assert encoder.encode(" Jones") == [5437]
    assert encoder.encoder[END_OF_TEXT] == 50256


def test_every_text_has_the_ids_that_hugging_face_gives_it(gpt2_tokenizer_folder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2Tokenizer(
        vocab=str(gpt2_tokenizer_folder / "encoder.json"),
        merges=str(gpt2_tokenizer_folder / "vocab.bpe"),
    )
    ours = load_encoder(gpt2_tokenizer_folder)
    texts = generated_texts(count=2500)
    differing = [text for text in texts if ours.encode(text) != theirs(text)["input_ids"]]
    assert not differing
    assert all(ours.decode(ours.encode(text)) == text for text in texts)
    assert len(set(texts)) > 2000


def generated_texts(count: int) -> list[str]:
    """Texts of every Unicode category, emoji, runs of white space, contractions and scripts."""
    pick = random.Random(0)
    by_category: dict[str, list[str]] = {}
    for code in range(sys.maxunicode + 1):
        # Unassigned characters are left out: the two may know different versions of Unicode.
        if (category := unicodedata.category(chr(code))) not in ("Cs", "Cn"):
            by_category.setdefault(category, []).append(chr(code))
    emoji = ["🙂", "👩‍👩‍👧", "🤦🏽‍♀️", "🇩🇪", "❤️", "1️⃣", "\u200d", "\ufe0f", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
    spaces = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2003", "\u3000", "\x0b", "\u2028"]
    words = "it's I'LL they've don't we're I'm 'tis o'clock she'd x's 's'S Michelle Jones".split()
    scripts = "Ελλάδα Москва עברית العربية हिन्दी ไทย 日本語 한국어 中文 𝔘𝔫𝔦 ½³⁷ ٣٤٥ naïve".split()
    code = "<b>x</b> **bold** $x^2$ a_b http://x.y/?q=1&r=2 {'k': [1]} --f=5e-3 <|endoftex".split()

    def any_character() -> str:
        return pick.choice(by_category[pick.choice(sorted(by_category))])

    sources = (
        any_character,
        lambda: pick.choice(emoji),
        lambda: pick.choice(spaces) * pick.randint(1, 4),
        lambda: pick.choice(words),
        lambda: pick.choice(scripts),
        lambda: pick.choice(code),
        lambda: str(pick.randrange(10 ** pick.randint(1, 12))),
    )
    return [
        "".join(pick.choice(sources)() for _ in range(pick.randint(1, 25))) for _ in range(count)
    ]
