"""The command line: results for scripts, and one line for a person's mistake."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from core.__main__ import main
from core.views.exports import from_json, read_grid_csv
from mingpt.bpe import load_encoder
from mingpt.model import GPT
from tests.builders import CLEAN, CORRUPTED, experiment, finished
from tests.numpy_gpt2 import NumpyGPT2

ROOT = Path(__file__).parents[2]
KEYS = ["experiment", "model", "tokens", "axes", "metric", "values", "clean_value"]
KEYS += ["corrupted_value", "top", "seconds"]


def patch(model_folder, *more: str, **changes: str) -> list[str]:
    """A good command, with options changed or, where None, left out."""
    options = {
        "clean": CLEAN,
        "corrupted": CORRUPTED,
        "target": " Lee",
        "foil": " Poe",
        "model": str(model_folder),
    }
    options |= changes
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return ["patch", *given, *more]


def mistake(capsys, arguments: list[str]) -> str:
    """The one line that a mistake prints."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.endswith("\n")
    assert err.startswith("patchboard: ")
    return err.removeprefix("patchboard: ").rstrip()


def test_json_on_standard_output_is_alone_and_complete(model_folder, capsys):
    assert main(patch(model_folder, "--json", "-")) == 0
    out, err = capsys.readouterr()
    assert err == ""
    data = json.loads(out)
    assert [key for key in data if key in KEYS] == KEYS
    assert data["experiment"]["clean"] == CLEAN
    assert list(data["model"]) == ["name", "fingerprint", "layers", "parameters", "dtype"]
    assert data["model"]["name"] == str(model_folder)
    assert data["tokens"]["corrupted"][1]["text"] == " Poe"
    assert all(list(token) == ["id", "text"] for token in data["tokens"]["clean"])
    assert data["axes"] == ["layer", "position"]
    assert np.shape(data["values"]) == (3, 7)
    assert [row["rank"] for row in data["top"]["clean"]] == list(range(1, 21))
    assert list(data["top"]["corrupted"][0]) == ["rank", "id", "token", "logit", "prob"]
    assert set(data["seconds"]) == {"load", "clean", "corrupted", "sweep"}


def test_the_values_are_those_of_the_formulas(model_folder, capsys):
    """From the command line to the weights in the file, against NumPy."""
    encoder = load_encoder(model_folder)
    gpt2 = NumpyGPT2(GPT.from_pretrained(model_folder).state_dict(), n_layer=3, n_head=2)
    clean, corrupted = encoder.encode(CLEAN), encoder.encode(CORRUPTED)
    target, foil = encoder.encode(" Lee") + encoder.encode(" Poe")

    def difference(ids, patches=None) -> float:
        logits, _ = gpt2.forward(ids, patches)
        return logits[-1, foil] - logits[-1, target]

    main(patch(model_folder, "--json", "-"))
    data = json.loads(capsys.readouterr().out)
    assert data["clean_value"] == pytest.approx(difference(clean), abs=1e-4)
    assert data["corrupted_value"] == pytest.approx(difference(corrupted), abs=1e-4)
    _, stream = gpt2.forward(clean)
    expected = [
        [difference(corrupted, {(layer, p): stream[layer][p]}) for p in range(7)]
        for layer in range(3)
    ]
    np.testing.assert_allclose(data["values"], expected, atol=1e-4)


def test_the_report_is_printed_and_files_are_written(model_folder, tmp_path, capsys):
    names = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "png")}
    files = [argument for name, path in names.items() for argument in (f"--{name}", str(path))]
    assert main(patch(model_folder, *files)) == 0
    out, err = capsys.readouterr()
    assert "After the clean text" in out and "Logit difference: logit(·Poe) - logit(·Lee)" in out
    assert err == ""
    result = from_json(names["json"].read_text(encoding="utf-8"))
    grids = read_grid_csv(names["csv"].read_text(encoding="utf-8"))
    assert grids["logit_diff"].tobytes() == result.values.tobytes()
    lines = list(csv.reader(io.StringIO(names["csv"].read_text(encoding="utf-8-sig"))))
    assert lines[0][:2] == ["layer", "position"]
    content = names["png"].read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    at = content.index(b"pHYs") + 4
    assert int.from_bytes(content[at : at + 4], "big") == 11811  # pixels per metre: 300 dpi
    assert matplotlib.image.imread(io.BytesIO(content)).ndim == 3


def test_options_reach_the_experiment(model_folder, capsys):
    options = ["--bos", "--embedding", "--device", "cpu", "--json", "-"]
    main(patch(model_folder, *options, metric="kl", direction="noise"))
    data = json.loads(capsys.readouterr().out)
    asked = data["experiment"]
    assert (asked["bos"], asked["embedding"]) == (True, True)
    assert (asked["metric"], data["metric"], asked["direction"]) == ("kl", "kl", "noise")
    assert np.shape(data["values"]) == (3, 8)
    assert np.shape(data["embedding"]) == (1, 8)


BOOK = "word " * 200_000
TOKEN_MISTAKES = [
    ({"clean": ""}, "The clean text is empty"),
    ({"corrupted": "  "}, "The corrupted text is empty"),
    ({"corrupted": "Anna Poe"}, "the clean text has 5 more"),
    ({"corrupted": CLEAN}, "The two texts are the same"),
    ({"clean": "a" * 25, "corrupted": "b" * 25}, "has 25 tokens and this model reads at most 24"),
    ({"clean": BOOK}, "has 1,000,000 characters"),
    ({"clean": "a\0b"}, "the control character U+0000"),
    ({"clean": "a\n\x1bb"}, "the control character U+001B"),
    ({"corrupted": "a\udc80"}, "half of a surrogate pair (U+DC80)"),
    ({"target": " Lee met"}, "The target must be one token, but ·Lee·met is 2: ·Lee | ·met"),
    ({"target": ""}, "The target is empty"),
    ({"foil": "\ud83d"}, "The foil cannot be read"),
    ({"foil": " Lee"}, "Target and foil are both ·Lee"),
    ({"target": "a\n\nb"}, "a⏎⏎b"),
]
OPTION_MISTAKES = [
    ({"metric": "magic"}, "There is no metric 'magic': choose one of logit_diff, recovery"),
    ({"direction": "up"}, "There is no direction 'up': choose one of denoise, noise, zero, mean."),
    ({"model": "gpt5"}, "There is no model 'gpt5': choose teaching, gpt2"),
    ({"model": ""}, "There is no model ''"),
    ({"model": "a" * 5000}, "There is no model"),
    ({"device": "nonsense"}, "The device 'nonsense' cannot be used"),
    ({"clean": None}, "the following arguments are required: --clean"),
    ({"nothing": "1"}, "unrecognized arguments: --nothing=1 (see python -m core --help)"),
]


@pytest.mark.parametrize(("changes", "text"), TOKEN_MISTAKES + OPTION_MISTAKES)
def test_a_mistake_is_one_line(model_folder, capsys, changes, text):
    assert text in mistake(capsys, patch(model_folder, **changes))


def test_no_command_is_a_mistake(capsys):
    assert "the following arguments are required: COMMAND" in mistake(capsys, [])
    assert "invalid choice: 'patches'" in mistake(capsys, ["patches"])


def test_a_folder_that_is_no_model_is_a_mistake(tmp_path, capsys):
    assert "holds no tokenizer" in mistake(capsys, patch(tmp_path))


@pytest.mark.parametrize("option", ["--json", "--csv", "--png"])
def test_a_file_that_cannot_be_written_is_named_before_the_sweep(
    model_folder, tmp_path, capsys, option, monkeypatch
):
    monkeypatch.setattr("core.engine.patching.sweep", None)
    path = tmp_path / "missing" / "out"
    text = f"cannot write {path}: there is no folder {path.parent}."
    assert mistake(capsys, patch(model_folder, option, str(path))) == text
    text = f"cannot write {tmp_path}: it is a folder."
    assert mistake(capsys, patch(model_folder, option, str(tmp_path))) == text


def test_a_mistake_is_one_line_whatever_was_typed(model_folder, tmp_path, capsys):
    path = f"{tmp_path}/two\nlines/out"
    assert "/two lines/out: there is no folder" in mistake(
        capsys, patch(model_folder, "--csv", path)
    )


def test_a_recovery_that_cannot_be_measured_is_refused_before_the_sweep(
    model_folder, capsys, monkeypatch
):
    monkeypatch.setattr("core.question.metrics.SMALLEST_DIFFERENCE", 1e9)
    monkeypatch.setattr("core.study.Study.steps", None)
    text = mistake(capsys, patch(model_folder, metric="recovery"))
    assert text.startswith("Recovery divides by the difference")


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "core", *arguments]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, cwd=ROOT, timeout=300
    )


def test_the_program_gives_what_python_gives(model_folder, loaded):
    """The one run of the program itself; its model has the weights of the shared one."""
    ran = run(*patch(model_folder, "--json", "-"))
    assert (ran.returncode, ran.stderr) == (0, "")
    asked = experiment()
    expected = finished(asked, loaded).read(asked).values
    np.testing.assert_allclose(from_json(ran.stdout).values, expected, atol=1e-5)


def test_the_program_ends_with_status_2_and_one_line_after_a_mistake(model_folder):
    ran = run(*patch(model_folder, target=" Lee met"))
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.splitlines() == [
        "patchboard: The target must be one token, but ·Lee·met is 2: ·Lee | ·met."
        " Choose another word, or its first piece."
    ]


def test_the_models_are_listed(capsys, monkeypatch):
    monkeypatch.delenv("PATCHBOARD_MODELS", raising=False)
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "name", "teaching", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl",
    ]  # fmt: skip
