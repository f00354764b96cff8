"""Folders of models as no program writes them, and hubs as none answers, drawn by hypothesis.

    @given(data())
    def test(data): refused = spoil(data.draw, folder)

Each fault says whether a folder with it has to be refused. Where it does not, the folder may be a
model, and then it has to be the one it was: none of these faults makes another sound one.
`outcome` says what became of a folder in one word, and `downloaded` of a download.
"""

import io
import json
import os
import pickle
import signal
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from core import catalogue, models
from core.errors import UserError
from core.models import LoadedModel
from mingpt.bpe import END_OF_TEXT
from mingpt.download import DownloadError, File, download
from tests.stand_in_hub import Answer

Draw = Callable[[st.SearchStrategy], Any]
MUST, MAY = True, False  # be refused

CONFIG, VOCABULARY, MERGES, WEIGHTS = "config.json", "vocab.json", "merges.txt", "model.safetensors"
PICKLE, INDEX, WHOLE = "pytorch_model.bin", "model.safetensors.index.json", "tokenizer.json"
MATRIX = "transformer.h.0.mlp.c_fc.weight"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=9,
)
NUMBERS = st.sampled_from([-1, 0, True, False, None, 1.5, "2", [], {}, 2**31, 10**30, float("nan")])
DEPTHS = st.sampled_from([60, 400, 900, 990, 5000, 100_000])


def spoil(draw: Draw, folder: Path) -> bool:
    """Put one to three faults into a sound model's folder, each into another file; whether it has
    to be refused."""
    kinds = [_config, _vocabulary, _merges, _weights, _beside]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3, unique=True))
    return any([kind(draw, folder) for kind in chosen])


def _config(draw: Draw, folder: Path) -> bool:
    path = folder / CONFIG
    if draw(st.booleans()):
        return _any_file(draw, path)
    said = json.loads(path.read_text())
    sizes = ["n_layer", "n_head", "n_embd", "n_positions", "vocab_size"]
    match draw(
        st.sampled_from(["a number", "huge", "a field", "a setting", "architectures", "list"])
    ):
        case "a number":
            said[draw(st.sampled_from(sizes))] = draw(NUMBERS)
        case "huge":
            said[draw(st.sampled_from(sizes))] = 10 ** draw(st.integers(5, 9))
        case "a field":
            said[draw(st.text(max_size=20))] = draw(JSON)
            path.write_text(json.dumps(said))
            return MAY
        case "a setting":
            said[
                draw(st.sampled_from(["activation_function", "n_inner", "tie_word_embeddings"]))
            ] = draw(JSON.filter(lambda value: value not in (None, True, 32)))
        case "architectures":
            said["architectures"] = draw(JSON)
            path.write_text(json.dumps(said))
            return MAY
        case "list":
            said = list(said)
    path.write_text(json.dumps(said))
    return MUST


def _vocabulary(draw: Draw, folder: Path) -> bool:
    path = folder / VOCABULARY
    if draw(st.booleans()):
        return _any_file(draw, path)
    said = json.loads(path.read_text())
    token = draw(st.sampled_from(sorted(said)))
    match draw(st.sampled_from(["an id", "twice", "a key twice", "left out", "more", "a list"])):
        case "an id":
            said[token] = draw(NUMBERS.filter(lambda value: type(value) is not int or value != 0))
        case "twice":
            said[token] = said[draw(st.sampled_from(sorted(said.keys() - {token})))]
        case "a key twice":
            again = json.dumps({token: len(said)})
            path.write_text(json.dumps(said)[:-1] + ", " + again[1:])
            return MUST
        case "left out":  # a token, or all
            said = {} if draw(st.booleans()) else {t: i for t, i in said.items() if t != token}
            path.write_text(json.dumps(said))
            return not said or (len(token) > 1 and token != END_OF_TEXT)
        case "more":
            said["a" + draw(st.text(alphabet="\ud800\x00é<", min_size=1, max_size=5))] = len(said)
        case "a list":
            said = list(said)
    path.write_text(json.dumps(said))
    return MUST


def _merges(draw: Draw, folder: Path) -> bool:
    path = folder / MERGES
    if draw(st.booleans()):
        return _any_file(draw, path)
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    match draw(st.sampled_from(["cut", "cut in a line", "twice", "a line", "none"])):
        case "cut":
            lines = lines[: draw(st.integers(1, len(lines) - 1))]
        case "cut in a line":
            lines = lines[: draw(st.integers(2, len(lines)))]
            lines[-1] = lines[-1][: draw(st.integers(0, len(lines[-1]) - 1))]
        case "twice":
            lines.append(draw(st.sampled_from(lines[1:])))
        case "a line":
            lines.insert(
                draw(st.integers(1, len(lines))), draw(st.sampled_from(["x", "x y z", "é é"]))
            )
        case "none":
            lines = []
    path.write_text("\n".join(lines), encoding="utf-8")
    return MUST


def _weights(draw: Draw, folder: Path) -> bool:
    path = folder / WEIGHTS
    kind = draw(st.sampled_from(["a file", "a header", "tensors", "a pickle", "shards"]))
    if kind == "a file":
        return _any_file(draw, path)
    if kind == "a header":
        path.write_bytes(_header(draw, path.read_bytes()))
        return MUST
    state = load_file(path)
    if kind == "shards":
        path.unlink()
        save_file(state, folder / "of.safetensors")
        (folder / INDEX).write_text(json.dumps({"weight_map": {MATRIX: _shard(draw, folder)}}))
        return MUST
    state = _tensors(draw, state, pickled=kind == "a pickle")
    if kind == "tensors":
        save_file(state, path)
    else:
        path.unlink()
        (folder / PICKLE).write_bytes(_pickled(draw, state))
    return MUST


def _header(draw: Draw, content: bytes) -> bytes:
    """Of a file of safetensors: another length, or other words."""
    length = int.from_bytes(content[:8], "little")
    said = json.loads(content[8 : 8 + length])
    match draw(st.sampled_from(["length", "deep", "offsets", "shape", "dtype", "json"])):
        case "length":
            other = draw(st.sampled_from([0, 1, length - 1, length + 8, 2**31, 2**63, 2**64 - 1]))
            return other.to_bytes(8, "little") + content[8:]
        case "deep":
            depth = draw(DEPTHS)
            header = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
            return len(header).to_bytes(8, "little") + header + content[8 + length :]
        case "offsets":
            said[MATRIX]["data_offsets"] = draw(
                st.lists(st.integers(-9, 2**64), min_size=2, max_size=2)
            )
        case "shape":
            said[MATRIX]["shape"] = draw(st.lists(st.integers(-1, 2**40), max_size=3))
        case "dtype":
            said[MATRIX]["dtype"] = draw(st.sampled_from(["I8", "F64", "X", "", "F4", None]))
        case "json":
            said = draw(JSON)
    header = json.dumps(said).encode()
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _tensors(draw: Draw, state: dict, pickled: bool) -> dict:
    matrix = state[MATRIX]
    makes = {
        "missing": lambda: None,
        "int8": lambda: matrix.to(torch.int8),
        "bool": lambda: matrix.to(torch.bool),
        "complex": lambda: matrix.to(torch.complex64),
        "wider": lambda: torch.zeros(8, 33),
        "empty": lambda: torch.zeros(0),
        "another": lambda: matrix,
        "many": lambda: matrix,
    }
    if pickled:
        ragged = [torch.zeros(2), torch.zeros(3)]
        makes |= {
            "nested": lambda: torch.nested.nested_tensor(ragged),
            "jagged": lambda: torch.nested.nested_tensor(ragged, layout=torch.jagged),
            "quantized": lambda: torch.quantize_per_tensor(matrix, 0.1, 0, torch.qint8),
            "sparse": lambda: matrix.to_sparse(),
            "meta": lambda: matrix.to("meta"),
            "vast": lambda: torch.zeros(1).expand(10**6, 10**7),
            "no tensor": lambda: [1, 2],
        }
    kind = draw(st.sampled_from(sorted(makes)))
    state = state | {MATRIX: makes[kind]()}
    if kind == "missing":
        del state[MATRIX]
    if kind == "another":
        state["x" + draw(st.text(alphabet="a\x00é" + "\ud800" * pickled, max_size=4))] = (
            torch.zeros(1)
        )
    if kind == "many":
        state |= {f"t{i}": torch.zeros(1, dtype=torch.float16) for i in range(2000)}
    return state


def _pickled(draw: Draw, state: dict) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=draw(st.booleans()))
    content = file.getvalue()
    match draw(st.sampled_from(["whole", "cut", "bent", "plain", "deep", "compressed"])):
        case "cut":
            return content[: draw(st.integers(0, len(content) - 1))]
        case "bent":
            content = bytearray(content)
            content[draw(st.integers(0, min(len(content), 2000) - 1))] ^= draw(st.integers(1, 255))
            return bytes(content)
        case "plain":
            content = pickle.dumps(draw(JSON), protocol=draw(st.integers(0, 4)))
            return content[: draw(st.integers(0, len(content)))]
        case "deep":
            return b"\x80\x02" + b"]" * draw(DEPTHS) + b"a" * draw(DEPTHS) + b"."
        case "compressed":
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("archive/data.pkl", b"\x80\x02}.")
                archive.writestr("archive/data/0", bytes(10**6))
            return file.getvalue()
    return content


def _shard(draw: Draw, folder: Path) -> Any:
    """What an index says where the name of a file should stand; half of the weights are nowhere."""
    name = draw(
        st.sampled_from(["\ud800", "\x00", "..", ".", "/", "", "a" * 300, "pipe", 7, None, []])
    )
    if name == "pipe":
        os.mkfifo(folder / "pipe")
    return name


def _beside(draw: Draw, folder: Path) -> bool:
    """The files that say more about the tokenizer."""
    name = draw(st.sampled_from(["tokenizer_config.json", "special_tokens_map.json"]))
    name = draw(st.sampled_from([name, "added_tokens.json", WHOLE]))
    path = folder / name
    rows = (
        len(json.loads((folder / VOCABULARY).read_text())) if _is_json(folder / VOCABULARY) else 9
    )
    match draw(st.sampled_from(["json", "deep", "ids", "roles", "a file"])):
        case "json":
            path.write_text(json.dumps(draw(JSON)))
            return MAY
        case "deep":
            path.write_text('{"a":' + "[" * (depth := draw(DEPTHS)) + "]" * depth + "}")
            return MUST
        case "ids":
            id = draw(NUMBERS | st.integers(-3, 2**33))
            contents = draw(st.sampled_from([["<x>"], ["<x>", "<y>"], ["<|endoftext|>"]]))
            tokens = [{"id": id, "content": content} for content in contents]
            said = {
                "added_tokens.json": {content: id for content in contents},
                "tokenizer_config.json": {"added_tokens_decoder": {str(id): tokens[0]}},
                "special_tokens_map.json": {"bos_token": {"content": contents[0], "id": id}},
                WHOLE: {"added_tokens": tokens, "model": {}},
            }[name]
            path.write_text(json.dumps(said))
            is_right = id in (rows, rows - 1) or name == "special_tokens_map.json"
            return MAY if is_right and name != WHOLE else MUST
        case "roles":
            roles = st.sampled_from(["bos_token", "eos_token", "additional_special_tokens"])
            path.write_text(
                json.dumps(draw(st.dictionaries(roles, JSON | st.just({"content": 1}))))
            )
            return MAY
    path.write_text("{}")
    _any_file(draw, path)
    return MUST if os.path.lexists(path) and not _leads_nowhere(path) else MAY


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and os.readlink(path) == "nowhere"


def _is_json(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text()), dict) if path.is_file() else False
    except (ValueError, OSError, RecursionError):
        return False


def _any_file(draw: Draw, path: Path) -> bool:
    """What can befall any file that has to be there."""
    content = path.read_bytes()
    path.unlink()
    match draw(
        st.sampled_from(["gone", "cut", "pipe", "folder", "round", "nowhere", "deep", "noise"])
    ):
        case "cut":
            path.write_bytes(content[: draw(st.integers(0, max(0, len(content) - 2)))])
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "round":
            path.symlink_to(path.name)
        case "nowhere":
            path.symlink_to("nowhere")
        case "deep":
            path.write_bytes(b"[" * draw(DEPTHS))
        case "noise":
            path.write_bytes(draw(st.binary(max_size=300)) + b"\xff")
    return MUST


LONGEST = 5.0  # seconds; what takes longer hangs


class _TooLong(BaseException):
    pass


@contextmanager
def _not_too_long() -> Iterator[None]:
    """Also what waits for ever in the system ends."""

    def end(*_) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(folder: Path, sound: LoadedModel, must: bool) -> str:
    """What becomes of a folder that was `sound`: "refused", "loaded", "wrongly accepted", "hang",
    or a traceback."""
    began = time.monotonic()
    try:
        with _not_too_long():
            found = models.load(catalogue.find(str(folder)))
        said = "wrongly accepted" if must or not _is_same(found, sound) else "loaded"
    except UserError as error:
        said = "refused" if _is_a_sentence(str(error)) else f"no sentence: {error!r}"
    except _TooLong:
        return "hang"
    except Exception:
        said = traceback.format_exc()
    return said if time.monotonic() - began < LONGEST else "hang"


def _is_same(found: LoadedModel, sound: LoadedModel) -> bool:
    """The same weights and merges, and no token with another id."""
    of = sound.encoder.encoder
    return (
        found.card.fingerprint == sound.card.fingerprint
        and found.encoder.bpe_ranks == sound.encoder.bpe_ranks
        and all(of.get(token, id) == id for token, id in found.encoder.encoder.items())
    )


def _is_a_sentence(text: str) -> bool:
    """Which any page can show."""
    return text == text.encode("utf-8", "replace").decode() and 10 < len(text) < 2000


# --- Downloads ------------------------------------------------------------------------------------

_ODD = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
_LENGTHS = st.sampled_from(["-1", "0", "1", "99", "1e5", "", "9" * 30, "0x10", "100001", " 7 "])


def answers(draw: Draw, content: bytes) -> tuple[list[Answer], bool]:
    """What a hub says to the first requests for a file, and whether it is trouble that passes."""
    drawn = [_answer(draw, content) for _ in range(draw(st.integers(1, 5)))]
    return [answer for answer, _ in drawn], all(passes for _, passes in drawn)


def _answer(draw: Draw, content: bytes) -> tuple[Answer, bool]:
    kinds = "cut cut busy chunks lengths versions ranges short unasked final another away later"
    kind = draw(st.sampled_from(kinds.split()))
    cut = draw(st.none() | st.integers(0, len(content)))
    match kind:
        case "cut":
            return Answer(cut_after=cut), True
        case "busy":
            return Answer(status=draw(st.sampled_from([408, 429, 500, 502, 503, 504, 599]))), True
        case "chunks":
            sizes = st.sampled_from(
                [b"-5", b"-1", b"0", b"5", b"zz", b"", b"f" * 16, b"5;" + b"x" * 99]
            )
            body = b"\r\n".join(draw(st.lists(sizes | st.binary(max_size=9), max_size=6)))
            headers = {"Transfer-Encoding": "chunked", "Content-Length": None}
            return Answer(body=body, headers=headers), True
        case "lengths":
            name = draw(st.sampled_from(["Content-Length", "X-Linked-Size", "Content-Range"]))
            return Answer(headers={name: draw(_LENGTHS)}, cut_after=cut), True
        case "versions":
            etag = draw(
                _ODD | st.sampled_from(['"é"', "W/", '"', 'W/"a"', '"a" "b"', '"\xff\xff"'])
            )
            return Answer(headers={"ETag": etag}, cut_after=cut), True
        case "ranges":
            range_ = draw(
                _ODD | st.sampled_from([f"bytes 0-9/{len(content)}", "bytes */*", "bytes 5-"])
            )
            headers = {"Content-Range": range_} if draw(st.booleans()) else {}
            ignores = {name: draw(st.booleans()) for name in ("ignores_range", "ignores_if_range")}
            return Answer(headers=headers, cut_after=cut, **ignores), True
        case "short":
            return Answer(body=content[:cut]), True
        case "unasked":
            return Answer(status=draw(st.sampled_from([206, 416]))), True
        case "final":
            return Answer(
                status=draw(st.sampled_from([204, 300, 304, 400, 401, 403, 404, 451]))
            ), False
        case "another":
            return Answer(body=bytes(len(content))), False
        case "away":
            address = _ODD | st.sampled_from(["http://", "//", "http://[::1", "file:///etc/passwd"])
            return Answer(status=302, headers={"Location": draw(address)}), False
    later = draw(_ODD | st.sampled_from(["0", "3", "-1", "9" * 400, "Mon, 99 Nov", "inf"]))
    return Answer(status=429, headers={"Retry-After": later}), False


def leave_a_part(draw: Draw, folder: Path, name: str, content: bytes, version: str) -> None:
    """What an earlier download may have left: the beginning, or something else."""
    bytes_ = st.sampled_from([content, bytes(2 * len(content))])
    part = draw(bytes_)[: draw(st.integers(0, 2 * len(content)))]
    (folder / f"{name}.part").write_bytes(part)
    said = draw(
        st.sampled_from([version.encode(), b'"another"', b"", b"\xff", b'"a\nb"', b"0" * 9999])
    )
    (folder / f"{name}.part.etag").write_bytes(said)


def downloaded(url: str, folder: Path, file: File, content: bytes) -> str:
    """What becomes of a download: "the file", "given up", "wrongly accepted", "hang", or a
    traceback."""
    began = time.monotonic()
    try:
        with _not_too_long():
            download(url, folder, file, lambda done, size: None)
        said = "the file" if (folder / file.name).read_bytes() == content else "wrongly accepted"
    except DownloadError as error:
        kept = os.path.lexists(folder / file.name)
        said = "wrongly accepted" if kept else "given up"
        said = said if _is_a_sentence(str(error)) else f"no sentence: {error!r}"
    except _TooLong:
        return "hang"
    except Exception:
        said = traceback.format_exc()
    return said if time.monotonic() - began < LONGEST else "hang"
