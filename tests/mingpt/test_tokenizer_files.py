"""A folder's tokenizer: whatever files it is written in, every text has the ids that Hugging Face's
AutoTokenizer gives it, or the folder is refused by name."""

import json
import random
from functools import cache
from pathlib import Path

import pytest

from mingpt.bpe import (
    END_OF_TEXT,
    BPETokenizer,
    Encoder,
    TokenizerError,
    bytes_to_unicode,
    load_encoder,
)
from tests.builders import tiny_encoder, write_tokenizer
from tests.mingpt.test_bpe import generated_texts

TINY = tiny_encoder()
VOCABULARY, MERGES = TINY.encoder, list(TINY.bpe_ranks)
SIZE = len(VOCABULARY)
PLAIN_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
AS_WRITTEN = {"tokenizer_class": "PreTrainedTokenizerFast"}


def put(folder: Path, **files: dict) -> Path:
    """JSON files by their names without the ending, into a folder of a GPT-2."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ({"config": {"model_type": "gpt2", "vocab_size": 10**5}} | files).items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def whole(vocabulary=VOCABULARY, merges=MERGES, **parts) -> dict:
    """What `tokenizer.json` holds."""
    model = {"type": "BPE", "vocab": vocabulary, "merges": [list(pair) for pair in merges]}
    return {
        "version": "1.0",
        "added_tokens": parts.pop("added", []),
        "normalizer": None,
        "pre_tokenizer": PLAIN_BYTES,
        "post_processor": PLAIN_BYTES,
        "decoder": PLAIN_BYTES,
        "model": model | parts.pop("model", {}),
    } | parts


def added(content: str, id: int | None = None, **flags: bool) -> dict:
    """An added token as it is written in full."""
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return off | flags | {"content": content} | ({} if id is None else {"id": id})


def begins_with(token: str, id: int) -> dict:
    """A post-processor that puts a token before a text."""
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": token, "type_id": 0}}, text],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    }


# --- parity ---------------------------------------------------------------------------------------


@cache
def texts() -> list[str]:
    return ["", " ", "\n\n", "\0\x1c\x7f", *generated_texts(count=2996)]


def with_tokens(of: list[str]) -> list[str]:
    """The texts, most of them with some of these tokens in them: inside words, between spaces of
    all kinds, one after the other."""
    pick = random.Random(1)

    def mixed(text: str) -> str:
        for _ in range(pick.randint(0, 3)):
            at, space = pick.randint(0, len(text)), pick.choice(["", "", " ", "  ", "\n", "\x1c"])
            text = text[:at] + space + pick.choice(of) + pick.choice(["", space]) + text[at:]
        return text

    return [mixed(text) for text in texts()]


def trained(alphabet: list[str]):
    """A tokenizer of a few hundred tokens, as the library makes it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [END_OF_TEXT, "<ñ>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    corpus = texts()[:300] if alphabet else ["it was a test of the tests, and a rest"] * 20
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def as_two_files(folder: Path) -> None:
    write_tokenizer(TINY, put(folder))


def as_one_file_of_the_library(folder: Path) -> None:
    trained(list(bytes_to_unicode().values())).save(str(put(folder) / "tokenizer.json"))


def as_one_file_of_old(folder: Path) -> None:
    merges = [" ".join(pair) for pair in MERGES]
    put(folder, tokenizer=whole(added=[added("<x>", SIZE)], model={"merges": merges}))


def as_one_file_for_any_class(folder: Path) -> None:
    tokens = [added("<x>", SIZE, lstrip=True, normalized=True), added(" lead", SIZE + 1)]
    cut = PLAIN_BYTES | {"add_prefix_space": True, "use_regex": True}
    one = whole(added=tokens, pre_tokenizer=cut, post_processor=begins_with("<x>", SIZE))
    settings = {"pad_token": "[PAD]", "added_tokens_decoder": {str(SIZE): tokens[0]}}
    put(folder, tokenizer=one, tokenizer_config=AS_WRITTEN | settings)


def as_saved_today(folder: Path) -> None:
    import transformers

    write_tokenizer(TINY, put(folder / "before"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "before")
    tokenizer.add_tokens(["Anna", " lead"])
    tokenizer.add_special_tokens({"pad_token": "<pad>", "extra_special_tokens": ["<x>"]})
    tokenizer.save_pretrained(put(folder))
    assert not (folder / "vocab.json").exists()


def as_saved_before(folder: Path) -> None:
    write_tokenizer(TINY, put(folder))
    mask = added("[MASK]", lstrip=True, special=True)
    special = {"pad_token": "[PAD]", "mask_token": mask, "additional_special_tokens": ["<x>"]}
    more = {"[MASK]": SIZE + 1, "Anna": VOCABULARY["Anna"], "[PAD]": SIZE, "a[P": SIZE + 2}
    put(folder, special_tokens_map=special, added_tokens=more, tokenizer=whole())


def with_every_flag(folder: Path) -> None:
    write_tokenizer(TINY, put(folder))
    tokens = [
        added("<x>", lstrip=True, normalized=True),
        added("<x>y", rstrip=True),
        added("<x>z", normalized=True),
        added("b<x>", normalized=True),
        added("met", single_word=True),
        added("_w_", single_word=True, rstrip=True, special=True),
        added(" lead", special=True),
        added("\n\n", lstrip=True, rstrip=True),
    ]
    decoder = {str(SIZE + number): token for number, token in enumerate(tokens)}
    put(folder, tokenizer_config={"added_tokens_decoder": decoder, "image_token": "<i>"})


def with_a_space_and_a_beginning(folder: Path) -> None:
    write_tokenizer(TINY, put(folder))
    settings = {"add_prefix_space": True, "add_bos_token": True, "bos_token": "<s>"}
    put(folder, tokenizer_config=settings | {"unk_token": None})


def without_a_beginning_where_nobody_heeds_it(folder: Path) -> None:
    cut = PLAIN_BYTES | {"add_prefix_space": True}
    put(folder, tokenizer=whole(pre_tokenizer=cut), tokenizer_config={"add_bos_token": True})


def without_some_bytes(folder: Path) -> None:
    trained([]).save(str(put(folder) / "tokenizer.json"))


def without_an_end_of_text(folder: Path) -> None:
    tokens = [token for token in VOCABULARY if token != END_OF_TEXT] + ["▁own", "[un 1]"]
    vocabulary = {token: id for id, token in enumerate(tokens)}
    put(
        folder, tokenizer=whole(vocabulary), tokenizer_config={"extra_special_tokens": {"v": "<v>"}}
    )


VARIANTS = {
    as_two_files: [],
    as_one_file_of_the_library: ["<ñ>"],
    as_one_file_of_old: ["<x>"],
    as_one_file_for_any_class: ["<x>", " lead", "[PAD]"],
    as_saved_today: ["Anna", " lead", "<pad>", "<x>"],
    as_saved_before: ["[PAD]", "a[P", "a[PAD]", "[MASK]", "Anna", "<x>"],
    with_every_flag: ["<x>", "<x>y", "<x>z", "b<x>", "met", "_w_", " lead", "\n\n", "<i>"],
    with_a_space_and_a_beginning: ["<s>"],
    without_a_beginning_where_nobody_heeds_it: [],
    without_some_bytes: ["<ñ>"],
    without_an_end_of_text: ["▁own", "<v>"],
}


@pytest.mark.parametrize("write", VARIANTS, ids=lambda write: write.__name__)
def test_every_text_has_the_ids_that_auto_tokenizer_gives_it(tmp_path, write):
    write(tmp_path)
    assert_same_ids(tmp_path, with_tokens([*VARIANTS[write], END_OF_TEXT]))


def test_gpt2s_own_tokenizer_in_one_file_is_the_same_tokenizer(tmp_path, gpt2_tokenizer_folder):
    own = load_encoder(gpt2_tokenizer_folder)
    one = whole(own.encoder, own.bpe_ranks, added=[added(END_OF_TEXT, 50256, special=True)])
    among = with_tokens([END_OF_TEXT])
    expected = assert_same_ids(put(tmp_path, tokenizer=one), among)
    assert [own.encode(text) for text in among] == expected


def assert_same_ids(folder: Path, among: list[str]) -> list[list[int]]:
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), load_encoder(folder)
    expected = theirs(among)["input_ids"]
    begins = list(ours.extras.begins)
    found = [[*begins, *ours.encode(text)] for text in among]
    differing = [i for i in range(len(among)) if found[i] != expected[i]]
    assert not differing, [(among[i], found[i], expected[i]) for i in differing[:2]]
    met = {id for ids in expected for id in ids}
    assert theirs.added_tokens_decoder.keys() <= met
    assert {token.content: token.id for token in ours.added.values()} == theirs.get_added_vocab()
    for text, ids in zip(among[:200], expected, strict=False):
        assert [*begins, *ours.encode_and_show_work(text)["bpe_idx"]] == ids
        if "ñ" not in text:  # of which theirs makes a byte
            assert ours.decode(ids) == theirs.decode(ids)
    return expected


# --- what added tokens are ------------------------------------------------------------------------


def two_files(folder: Path, **files: dict) -> Encoder:
    return load_encoder(put(write_tokenizer(TINY, folder), **files))


def test_a_token_has_its_text_whatever_characters_it_is_of(tmp_path):
    vocabulary = VOCABULARY | {"▁own": SIZE, "[un 1]": SIZE + 1}
    tokens = [added("<ñ>", SIZE + 2), added("ĠLee", VOCABULARY["ĠLee"])]
    encoder = load_encoder(put(tmp_path, tokenizer=whole(vocabulary, added=tokens)))
    ids = (SIZE, SIZE + 1, SIZE + 2, VOCABULARY["ĠLee"], VOCABULARY["Ã"])
    shown = [encoder.token_bytes(id) for id in ids]
    assert shown == ["▁own".encode(), b"[un 1]", "<ñ>".encode(), b" Lee", b"\xc3"]
    assert encoder.decode(ids[:4]) == "▁own[un 1]<ñ> Lee"
    assert encoder.longest_token == max(map(len, VOCABULARY))


def test_the_tokenizers_own_beginning_belongs_to_whole_texts_alone(tmp_path):
    encoder = two_files(tmp_path, tokenizer_config={"add_bos_token": True})
    assert encoder.extras.begins == (encoder.bos,) == (VOCABULARY[END_OF_TEXT],)
    assert encoder.encode(" Lee") == [VOCABULARY["ĠLee"]]
    assert BPETokenizer(tmp_path)(" Lee").tolist() == [[encoder.bos, VOCABULARY["ĠLee"]]]


@pytest.mark.parametrize(
    ("settings", "bos"),
    [
        ({}, END_OF_TEXT),
        ({"bos_token": "Anna"}, "Anna"),
        ({"bos_token": added("Anna")}, "Anna"),
        ({"bos_token": None}, None),
    ],
)
def test_texts_may_begin_with_the_token_that_the_files_name(tmp_path, settings, bos):
    assert two_files(tmp_path, tokenizer_config=settings).bos == VOCABULARY.get(bos)
    assert two_files(tmp_path / "map", special_tokens_map=settings).bos == VOCABULARY.get(bos)
    differing = {"tokenizer_config": {"bos_token": END_OF_TEXT}, "special_tokens_map": settings}
    if settings.get("bos_token"):
        assert two_files(tmp_path / "differing", **differing).bos == VOCABULARY[bos]
    one = put(tmp_path / "one", tokenizer=whole(), tokenizer_config=AS_WRITTEN | settings)
    assert load_encoder(one).bos == VOCABULARY[bos or END_OF_TEXT]


def test_a_token_that_the_model_has_no_row_for_cannot_be_read_and_has_no_id(tmp_path):
    config = {"model_type": "gpt2", "vocab_size": SIZE}
    encoder = two_files(tmp_path, config=config, tokenizer_config={"pad_token": "<pad>"})
    assert max(encoder.encoder.values()) < SIZE
    text = "<pad> is a token of its own, for which this model has no embedding: take it out"
    with pytest.raises(TokenizerError, match=text):
        encoder.encode("Anna<pad>")
    put(tmp_path, config=config, tokenizer_config={"add_bos_token": True, "bos_token": "<s>"})
    with pytest.raises(TokenizerError, match="puts a token before every text that it or the model"):
        load_encoder(tmp_path)


def test_what_no_class_heeds_is_told(tmp_path):
    assert two_files(tmp_path / "none").extras.notes == ()
    without_a_beginning_where_nobody_heeds_it(tmp_path / "two")
    assert load_encoder(tmp_path / "two").extras.notes == (
        "tokenizer.json has add_prefix_space = true, which a GPT2Tokenizer does not heed.",
        "tokenizer_config.json has add_bos_token, which is not heeded beside tokenizer.json.",
    )
    without_some_bytes(tmp_path / "bytes")
    (note,) = load_encoder(tmp_path / "bytes").extras.notes
    assert note.endswith("of the 256 bytes are no tokens: characters with them are left out.")


def test_a_tokenizer_that_changes_texts_says_so(tmp_path):
    assert two_files(tmp_path / "plain").keeps_texts
    without_some_bytes(tmp_path / "bytes")
    assert not load_encoder(tmp_path / "bytes").keeps_texts
    spaced = {"tokenizer_config": {"add_prefix_space": True}}
    stripped = {"tokenizer_config": {"added_tokens_decoder": {SIZE: added("<x>", rstrip=True)}}}
    assert not any(two_files(tmp_path / "x", **files).keeps_texts for files in (spaced, stripped))


# --- what is refused ------------------------------------------------------------------------------

FEWER = {token: id for token, id in VOCABULARY.items() if token != "é"}
SWAPPED = VOCABULARY | {"a": VOCABULARY["b"], "b": VOCABULARY["a"]}
ROBERTA = {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]}
ENDS = begins_with("a", 0) | {
    "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "a", "type_id": 0}}]
}


def cut_by(*kinds: str) -> dict:
    return {"type": "Sequence", "pretokenizers": [{"type": kind} for kind in kinds]}


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"normalizer": {"type": "NFC"}}, "asks for the normalizer NFC; only GPT-2's byte-level"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "the pre-tokenizer Metaspace"),
        ({"pre_tokenizer": cut_by("Digits", "ByteLevel")}, "Sequence of Digits, ByteLevel"),
        ({"pre_tokenizer": PLAIN_BYTES | {"use_regex": False}}, "with use_regex = false"),
        ({"pre_tokenizer": None}, "the pre-tokenizer none"),
        ({"model": {"type": "WordPiece"}}, "the model WordPiece"),
        ({"model": {"dropout": 0.1}}, "dropout = 0.1"),
        ({"model": {"byte_fallback": True}}, "byte_fallback = True"),
        ({"model": {"ignore_merges": True}}, "ignore_merges = True"),
        ({"model": {"continuing_subword_prefix": "##"}}, "continuing_subword_prefix = '##'"),
        ({"model": {"end_of_word_suffix": "</w>"}}, "end_of_word_suffix = '</w>'"),
        ({"model": {"unk_token": "a", "vocab": FEWER}}, "unk_token = 'a' for bytes it lacks"),
        ({"model": {"merges": ["x yz"]}}, "has merges that make no token of its vocabulary"),
        ({"model": {"merges": [["a"]]}}, "has merges that make no token of its vocabulary"),
        ({"model": {"vocab": ["a"]}}, "is no vocabulary: it should map tokens to their ids"),
        ({"model": {"vocab": VOCABULARY | {"b": 0}}}, "gives one id to two tokens"),
        ({"model": {"vocab": VOCABULARY | {"é": "7"}}}, "is no vocabulary"),
        ({"post_processor": ROBERTA}, "the post-processor RobertaProcessing"),
        ({"post_processor": ENDS}, "a post-processor that puts tokens after a text"),
        ({"post_processor": begins_with("q", 9999)}, "before every text that it or the model"),
        ({"added_tokens": [added("<x>", SIZE + 5)]}, f"'<x>' the id {SIZE + 5}, but .* {SIZE}:"),
        ({"added_tokens": [added("Anna", 3)]}, "gives the token 'Anna' the id 3, but the other"),
        ({"added_tokens": [{"id": 3}]}, r"is not laid out as a tokenizer's file \(KeyError"),
        ({"added_tokens": [added("<x>") | {"id": None}]}, r"is not laid out .* \(TypeError"),
        ({"post_processor": begins_with("a", [0])}, r"is not laid out .* \(TypeError"),
        ({"added_tokens": [{"id": 3, "content": 4}]}, r"is not laid out .* \(TypeError"),
        ({"model": None}, "is not laid out as a tokenizer's file"),
    ],
)
@pytest.mark.parametrize("settings", [{}, AS_WRITTEN], ids=["gpt2", "as written"])
def test_what_gpt2_has_not_is_refused_by_name(tmp_path, settings, parts, text):
    one = whole()
    if parts.get("model"):
        parts = parts | {"model": one["model"] | parts["model"]}
    put(tmp_path, tokenizer=one | parts, tokenizer_config=settings)
    with pytest.raises(TokenizerError, match=rf"^.*(tokenizer\.json|tokenizer in) .*{text}"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("tokenizer_config", {"tokenizer_class": "BertTokenizer"}, "tokenizer_class BertTokenizer"),
        ("config", {"tokenizer_class": "XLMTokenizer"}, "the tokenizer_class XLMTokenizer"),
        ("tokenizer_config", AS_WRITTEN, "no tokenizer.json, which a PreTrainedTokenizer is read"),
        ("tokenizer_config", {"add_eos_token": True}, "asks for add_eos_token = True"),
        ("tokenizer_config", {"split_special_tokens": True}, "split_special_tokens = True"),
        ("tokenizer_config", {"auto_map": {"AutoTokenizer": ["a.B", None]}}, "asks for auto_map"),
        ("tokenizer_config", {"added_tokens_decoder": {"x": {}}}, "is not laid out as a tokenizer"),
        ("tokenizer_config", [], "tokenizer_config.json is not laid out as a tokenizer's file"),
        ("special_tokens_map", {"pad_token": {}}, "special_tokens_map.json is not laid out"),
        (
            "added_tokens",
            {"<x>": SIZE + 1},
            rf"'<x>' the id {SIZE + 1}, but the other files {SIZE}",
        ),
        ("added_tokens", {"<x>": "1"}, "added_tokens.json is not laid out"),
        ("tokenizer", whole(SWAPPED), "tokenizer.json and vocab.json are of two tokenizers"),
        ("tokenizer", whole(merges=MERGES[:-1]), "tokenizer.json and merges.txt are of two"),
        (
            "tokenizer",
            {},
            r"tokenizer.json is not laid out as a tokenizer's file \(KeyError: 'model",
        ),
    ],
)
def test_what_files_beside_the_vocabulary_ask_for_in_vain_is_refused(tmp_path, file, content, text):
    with pytest.raises(TokenizerError, match=text):
        two_files(tmp_path, **{file: content})


@pytest.mark.parametrize(
    ("beside", "text"),
    [
        ({"added_tokens": {"<y>": SIZE + 1}}, "added_tokens.json adds the token '<y>', which the"),
        ({"special_tokens_map": {"pad_token": "<y>"}}, "special_tokens_map.json adds the token"),
        ({"tokenizer": whole(added=[added("<y>", SIZE)])}, "tokenizer.json adds the token '<y>'"),
        (
            {"tokenizer": whole(added=[added("<x>", SIZE, lstrip=True)])},
            "tokenizer.json and another file differ in lstrip of the token '<x>'",
        ),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path, beside, text):
    decoder = {"added_tokens_decoder": {str(SIZE): added("<x>")}}
    two_files(tmp_path, tokenizer_config=decoder, tokenizer=whole(added=[added("<x>", SIZE)]))
    with pytest.raises(TokenizerError, match=text):
        two_files(tmp_path, tokenizer_config=decoder, **beside)


def test_a_special_token_that_another_file_replaces_is_refused(tmp_path):
    special = {"special_tokens_map": {"pad_token": "<y>"}}
    with pytest.raises(TokenizerError, match=r"tokenizer_config.json adds the token '<x>', which"):
        two_files(tmp_path, tokenizer_config={"pad_token": "<x>"}, **special)


def test_an_id_that_cannot_be_known_is_refused(tmp_path):
    gap = {token: id + (id > 9) for token, id in VOCABULARY.items()}
    with pytest.raises(
        TokenizerError, match="'<x>' has cannot be known: the vocabulary leaves ids"
    ):
        load_encoder(put(tmp_path, tokenizer=whole(gap), tokenizer_config={"pad_token": "<x>"}))
