"""The command line: results for scripts, and one line for a person's mistake."""

import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest
import torch

from core.__main__ import main
from core.commands import progress
from core.engine import work
from core.views.exports import from_json, read_grid_csv
from mingpt.bpe import load_encoder
from mingpt.model import GPT
from tests.builders import CLEAN, CORRUPTED
from tests.numpy_gpt2 import NumpyGPT2
from tests.stand_in_hub import StandInHub

ROOT = Path(__file__).parents[2]
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
DIGITS = "9" * 5000


def patch(model_folder, *more: str, **changes: str) -> list[str]:
    """A good command, with options changed or, where None, left out."""
    options = {"clean": CLEAN, "corrupted": CORRUPTED, "target": " Lee", "foil": " Poe"}
    options |= {"model": str(model_folder)} | changes
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


def test_the_program_prints_json_alone_with_the_values_of_the_formulas(model_folder):
    """From the command line to the weights in the file, against NumPy."""
    encoder = load_encoder(model_folder)
    gpt2 = NumpyGPT2(GPT.from_pretrained(model_folder).state_dict(), n_layer=3, n_head=2)
    clean, corrupted = encoder.encode(CLEAN), encoder.encode(CORRUPTED)
    target, foil = encoder.encode(" Lee") + encoder.encode(" Poe")

    def difference(ids, patches=None) -> float:
        logits, _ = gpt2.forward(ids, patches)
        return logits[-1, foil] - logits[-1, target]

    ran = run(*patch(model_folder, "--json", "-"))
    assert (ran.returncode, ran.stderr) == (0, "")
    data = json.loads(ran.stdout)
    assert data["model"]["name"] == str(model_folder)
    assert [row["rank"] for row in data["top"]["clean"]] == list(range(1, 21))
    assert data["clean_value"] == pytest.approx(difference(clean), abs=1e-4)
    assert data["corrupted_value"] == pytest.approx(difference(corrupted), abs=1e-4)
    _, stream = gpt2.forward(clean)
    expected = [
        [difference(corrupted, {(layer, p): stream[layer][p]}) for p in range(7)]
        for layer in range(3)
    ]
    np.testing.assert_allclose(data["values"], expected, atol=1e-4)


def test_a_step_and_a_seed_name_a_checkpoint_of_the_bundled_model(capsys):
    shown = {"clean": "Mary was sad because", "corrupted": "John was sad because"}
    asked = patch("teaching", **shown, target=" she", foil=" he")
    numbers = []
    for more in ([], ["--step=0"], ["--step=0", "--seed=1"]):
        assert main([*asked, "--json=-", *more]) == 0
        numbers.append(json.loads(capsys.readouterr().out))
    names = [result["experiment"]["model"] for result in numbers]
    assert names == ["teaching", "teaching@seed0-step0", "teaching@seed1-step0"]
    assert len({str(result["metrics"]["logit_diff"]) for result in numbers}) == 3
    assert "has no checkpoint of seed 0 after step 7:" in mistake(capsys, [*asked, "--step=7"])


def test_a_repository_of_the_hub_says_what_it_takes_once_and_is_in_the_json(
    model_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("PATCHBOARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    files = {path.name: path.read_bytes() for path in model_folder.iterdir()}
    with StandInHub({}) as hub:
        hub.branches["a/b"] = {"v1.0": files}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        for times in range(2):
            assert main(patch("a/b@v1.0", "--json=-")) == 0
            out, err = capsys.readouterr()
            card = json.loads(out)["model"]
            assert (card["name"], card["revision"]) == ("a/b@v1.0", hub.commit("a/b", "v1.0"))
            said = f"a/b@v1.0, commit {card['revision']}, is not on this machine: downloading 0 MB"
            assert err.startswith(said) if times == 0 else err == ""
        asked = len(hub.requests)
        assert main(["models"]) == 0
        assert "a/b@v1.0" in capsys.readouterr().out
        assert len(hub.requests) == asked


def test_the_report_is_printed_and_files_are_written(model_folder, tmp_path, capsys):
    names = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "png", "svg", "pdf")}
    names["matrix"] = tmp_path / "matrix.csv"
    files = [argument for name, path in names.items() for argument in (f"--{name}", str(path))]
    assert main(patch(model_folder, *files)) == 0
    out, err = capsys.readouterr()
    assert "After the clean text" in out and "Logit difference: logit(·Poe) - logit(·Lee)" in out
    assert err == ""
    result = from_json(names["json"].read_text(encoding="utf-8"))
    grids = read_grid_csv(names["csv"].read_text(encoding="utf-8"))
    assert grids["logit_diff"].tobytes() == result.values.tobytes()
    matrix = np.loadtxt(names["matrix"], delimiter=",", dtype=np.float32)
    np.testing.assert_array_equal(matrix, result.values)
    assert matplotlib.image.imread(names["png"]).shape[2] in (3, 4)
    texts = ElementTree.parse(names["svg"]).iter("{http://www.w3.org/2000/svg}text")
    assert "Clean text: Anna" in ["".join(text.itertext()) for text in texts]
    assert names["pdf"].read_bytes().startswith(b"%PDF-")


def test_a_picture_can_be_as_in_the_assignment(model_folder, tmp_path, capsys):
    def texts(*more: str) -> list[str]:
        assert (
            main(patch(model_folder, "--embedding", "--svg", str(tmp_path / "a.svg"), *more)) == 0
        )
        found = ElementTree.parse(tmp_path / "a.svg").iter("{http://www.w3.org/2000/svg}text")
        return ["".join(text.itertext()) for text in found]

    assert "embedding" in texts()
    assert "embedding" not in texts("--view", "assignment", "--metric", "kl")
    capsys.readouterr()
    assert "invalid choice: 'grey'" in mistake(capsys, patch(model_folder, "--view", "grey"))


@pytest.mark.parametrize(
    ("option", "name", "text"),
    [
        ("png", "a.svg", "--png does not write a .svg file: call a.svg .png, or use --svg."),
        ("csv", "a.JSON", "--csv does not write a .json file: call a.JSON .csv, or use --json."),
        ("matrix", "a.pdf", "--matrix does not write a .pdf file: call a.pdf .csv, or use --pdf."),
    ],
)
def test_a_suffix_that_contradicts_its_option_is_a_mistake(
    model_folder, capsys, tmp_path, monkeypatch, nothing_computed, option, name, text
):
    monkeypatch.chdir(tmp_path)
    assert mistake(capsys, patch(model_folder, f"--{option}", name)) == text


@pytest.mark.parametrize("option", ["png", "svg", "pdf", "matrix"])
def test_what_has_two_axes_cannot_be_made_of_three(
    model_folder, capsys, tmp_path, nothing_computed, option
):
    given = patch(model_folder, f"--{option}", str(tmp_path / "out"), site="head_z_position")
    assert mistake(capsys, given).startswith(
        f"--{option} has two axes and head_z_position has three"
    )


def test_options_reach_the_experiment(model_folder, capsys):
    options = ["--bos", "--embedding", "--device", "cpu", "--json", "-"]
    main(patch(model_folder, *options, metric="kl", direction="noise"))
    data = json.loads(capsys.readouterr().out)
    asked = {"bos": True, "embedding": True, "metric": "kl", "direction": "noise"}
    assert data["experiment"].items() >= asked.items()
    assert np.shape(data["values"]) == (3, 8)
    assert np.shape(data["embedding"]) == (1, 8)


MISTAKES = [
    ({"corrupted": "Anna Poe"}, "the clean text has 5 more"),
    ({"corrupted": "a\udc80"}, "half of a surrogate pair (U+DC80)"),
    ({"target": "a\n\nb"}, "a⏎⏎b"),
    ({"metric": "magic"}, "There is no metric 'magic': choose one of logit_diff, recovery"),
    ({"model": "gpt5"}, "There is no model 'gpt5': choose teaching, gpt2"),
    ({"model": "/"}, "/ is not a model folder: it has no config.json"),
    ({"device": "nonsense"}, "The device 'nonsense' cannot be used"),
    ({"clean": None}, "the following arguments are required: --clean"),
    ({"csv": "no\nfolder/out"}, "cannot write no folder/out: there is no folder"),
    ({"nothing": "1"}, "unrecognized arguments: --nothing=1 (see python -m core --help)"),
]


@pytest.mark.parametrize(("changes", "text"), MISTAKES)
def test_a_mistake_is_one_line(model_folder, capsys, changes, text):
    assert text in mistake(capsys, patch(model_folder, **changes))


def test_no_command_is_a_mistake(capsys):
    assert "the following arguments are required: COMMAND" in mistake(capsys, [])
    assert "invalid choice: 'patches'" in mistake(capsys, ["patches"])


@pytest.fixture
def nothing_computed(monkeypatch):
    """Whatever is refused is refused before a model is loaded."""
    monkeypatch.setattr("core.models.load", None)


@pytest.mark.parametrize("command", ["patch --json", "patch --csv", "patch --png", "bench --json"])
def test_a_file_that_cannot_be_written_is_named_before_anything_is_computed(
    model_folder, tmp_path, capsys, command, nothing_computed
):
    command, option = command.split()
    path, long = tmp_path / "missing" / "out", tmp_path / ("a" * 300)
    reasons = f"there is no folder {path.parent}.", "it is a folder.", "File name too long."
    for place, reason in zip((path, tmp_path, long), reasons, strict=True):
        given = [option, str(place)]
        given = patch(model_folder, *given) if command == "patch" else [command, *given]
        assert mistake(capsys, given) == f"cannot write {place}: {reason}"


def test_a_place_that_one_may_not_write_to_is_named_before_anything_is_computed(
    tmp_path, capsys, monkeypatch, nothing_computed
):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    text = f"cannot write {tmp_path}/out: permission denied."
    assert mistake(capsys, ["bench", "--json", f"{tmp_path}/out"]) == text


@pytest.mark.parametrize("other", ["out", "./out", "{}/out", "../{name}/out", "soft", "hard", "-"])
def test_two_outputs_to_one_place_are_refused(
    model_folder, tmp_path, capsys, monkeypatch, nothing_computed, other
):
    monkeypatch.chdir(tmp_path)
    Path("out").touch(exist_ok=other == "hard")
    Path("soft").symlink_to("out")
    Path("hard").hardlink_to("out")
    if other != "hard":
        Path("out").unlink()  # spellings of a file that is not there yet are compared as well
    other = other.format(tmp_path, name=tmp_path.name)
    first = "-" if other == "-" else "out"
    text = f"--csv and --json cannot both be written to {other}."
    assert mistake(capsys, patch(model_folder, "--csv", first, "--json", other)) == text


def test_a_table_or_a_picture_on_standard_output_is_alone_there(
    model_folder, tmp_path, capfdbinary
):
    def csv_grids(file: io.BytesIO) -> dict:
        return read_grid_csv(file.read().decode())

    for option, read in (("csv", csv_grids), ("png", matplotlib.image.imread)):
        assert main(patch(model_folder, f"--{option}", "-", "--json", str(tmp_path / "out"))) == 0
        out, err = capfdbinary.readouterr()
        assert err == b""
        assert len(read(io.BytesIO(out)))
        assert from_json((tmp_path / "out").read_text(encoding="utf-8"))


def test_a_picture_is_not_drawn_on_a_terminal(model_folder, capsys, monkeypatch, nothing_computed):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for kind in ("PNG", "PDF"):
        text = mistake(capsys, patch(model_folder, f"--{kind.lower()}", "-"))
        assert text.startswith(f"a {kind} is nothing to read")


@pytest.mark.parametrize(
    ("option", "numbers"),
    [
        ("--window", [DIGITS, DIGITS[:4000], "-1", "²"]),
        ("--tokens", [DIGITS, "1e2", "٣", ""]),
        ("--budget", [DIGITS, "nan", "-1", "inf", "1e999", "x"]),
    ],
)
def test_a_number_that_is_none_is_refused_in_a_short_line(
    capsys, nothing_computed, option, numbers
):
    command = patch("teaching") if option == "--window" else ["bench"]
    for number in numbers:
        line = mistake(capsys, [*command, option, number])
        assert line.startswith(f"argument {option}: ")
        assert " is no whole number" in line or " is no number of seconds" in line
        assert len(line) < 200


def test_no_line_is_longer_than_a_person_reads(capsys, nothing_computed):
    for arguments in (["bench", "--site", "a" * 9000], patch("teaching", metric="a" * 9000)):
        line = mistake(capsys, arguments)
        assert len(line) < 2100
        assert "..." in line


@pytest.mark.parametrize("variable", ["PATCHBOARD_THREADS", "OMP_NUM_THREADS"])
def test_a_number_of_threads_that_is_none_is_a_mistake(capsys, monkeypatch, variable):
    for value in ("abc", "0", "-1", "1.5", "1000", "²", DIGITS):
        monkeypatch.setenv(variable, value)
        line = mistake(capsys, ["models"])
        assert line.startswith(f"{variable} is '{value[:3]}")
        assert line.endswith(": set it to a number from 1 to 999, or unset it.")
        assert len(line) < 200


@pytest.mark.parametrize(
    ("own", "openmp", "given", "expected"),
    [
        ("", "", None, 4),
        ("", " 3,2 ", None, 3),
        ("", "64", None, 4),
        ("6", "3", 1, 6),
        (" 1 ", "", None, 1),
        ("", "1", 3, 3),
        ("", "", 64, 4),
    ],
)
def test_threads_are_as_many_as_processors_or_what_the_environment_says(
    monkeypatch, own, openmp, given, expected
):
    chosen = []
    monkeypatch.setattr("torch.set_num_threads", chosen.append)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 2, 4, 6}, raising=False)
    monkeypatch.setenv("PATCHBOARD_THREADS", own)
    monkeypatch.setenv("OMP_NUM_THREADS", openmp)
    work.choose_threads(given)
    assert chosen == [expected]


def test_the_same_experiment_gives_the_same_bytes_and_says_with_what(model_folder, tmp_path):
    """Run after run, in programs of their own."""
    files = {kind: f"map.{kind}" for kind in ("json", "csv", "png", "svg", "pdf")}
    files["matrix"] = "matrix.csv"
    written = []
    for name, threads in (("one", 1), ("two", 1), ("three", 2)):
        folder = tmp_path / name
        folder.mkdir()
        options = [f"--{kind}={folder / file}" for kind, file in files.items()]
        environment = os.environ | {"PATCHBOARD_THREADS": str(threads)}
        assert run(*patch(model_folder, *options), env=environment).returncode == 0
        written.append({kind: (folder / file).read_bytes() for kind, file in files.items()})
    one, two, three = written
    assert [kind for kind in files if one[kind] != two[kind]] == []
    said = [json.loads(of["json"])["model"]["computed_with"] for of in (one, three)]
    assert [of.pop("threads") for of in said] == [1, 2] and said[0] == said[1]
    assert said[0]["torch"] == torch.__version__
    assert said[0]["python"] == platform.python_version()
    assert said[0]["machine"].endswith(platform.machine())
    assert re.fullmatch("[0-9a-f]{12}", said[0]["patchboard"])


def test_a_check_of_which_nothing_could_be_run_is_no_success(model_folder, capsys):
    assert main(["verify", "--model", str(model_folder)]) == 1
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "No check could be run on this model: nothing is known of its numbers."


def test_a_recovery_that_cannot_be_measured_is_refused_before_the_sweep(
    model_folder, capsys, monkeypatch
):
    monkeypatch.setattr("core.question.metrics.SMALLEST_DIFFERENCE", 1e9)
    monkeypatch.setattr("core.study.Study.__iter__", None)
    text = mistake(capsys, patch(model_folder, metric="recovery"))
    assert text.startswith("Recovery divides by the difference")


def test_the_rate_of_pairs_is_that_of_those_computed_now(monkeypatch):
    now, drawn = 100.0, []
    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr(
        "core.commands.progress.draw_bar", lambda fraction, text: drawn.append(text)
    )
    pace = progress.Pace()
    for kind, seconds, fraction in [
        ("screened", 0, 0.5),
        ("done", 50, 0.5),  # which were there already
        ("done", 10, 0.6),
        ("done", 10, 0.8),
        ("done", 10, 1.0),
    ]:
        now += seconds
        pace(kind, fraction, 1000)
    assert drawn == [
        "600 of 1,000 pairs done, 10.0 a second, 40 s left",
        "800 of 1,000 pairs done, 15.0 a second, 13 s left",
        "",
    ]


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "core", *arguments]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"} | options
    return subprocess.run(command, **given, check=False, cwd=ROOT, timeout=300)


def started(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "core", *arguments]
    given = {"stderr": subprocess.PIPE, "encoding": "utf-8", "env": BUFFERED} | options
    return subprocess.Popen(command, cwd=ROOT, **given)


def test_output_is_in_utf8_whatever_the_locale(model_folder, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    assert main(patch(model_folder)) == 0
    assert "·Lee" in stream.buffer.getvalue().decode("utf-8")


def test_a_reader_that_has_read_enough_ends_the_program_quietly():
    read, write = os.pipe()
    os.close(read)
    with started("models", stdout=write) as program:
        os.close(write)
        assert program.communicate(timeout=60)[1] == ""
    assert program.returncode == 141


@pytest.mark.parametrize("after", [0.7, 2.5], ids=["while it starts", "while it works"])
def test_control_c_is_one_line(after):
    with started("bench", "--budget", "60", stdout=subprocess.PIPE) as program:
        time.sleep(after)
        program.send_signal(signal.SIGINT)
        assert program.communicate(timeout=60) == ("", "patchboard: stopped.\n")
    assert program.returncode == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
def test_a_full_disk_is_one_line(model_folder, capsys):
    text = "cannot write /dev/full: No space left on device."
    assert mistake(capsys, patch(model_folder, "--csv", "/dev/full")) == text
    with open("/dev/full", "w") as full:
        ran = run("models", stdout=full, env=BUFFERED)
    assert (ran.returncode, ran.stderr) == (
        2,
        "patchboard: cannot write to standard output: No space left on device.\n",
    )


def test_streams_that_are_closed_are_written_to_in_vain(monkeypatch, capsys):
    for arguments, status in ((["models"], 0), (["patch"], 2)):
        with monkeypatch.context() as patched:
            patched.setattr("sys.stdout", None)
            patched.setattr("sys.stderr", None)
            assert main(arguments) == status
    assert capsys.readouterr() == ("", "")


def test_the_program_ends_with_status_2_and_one_line_after_a_mistake(model_folder):
    locale = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    ran = run(*patch(model_folder, target=" Lee met"), env=os.environ | locale)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "patchboard: The target must be one token, but ·Lee·met is 2: ·Lee | ·met."
        " Choose another word, or its first piece.\n"
    )


def test_the_models_are_listed(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("PATCHBOARD_MODELS", raising=False)
    monkeypatch.setenv("PATCHBOARD_CACHE", str(tmp_path))
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "name", "teaching", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2",
    ]  # fmt: skip


# --- the program behind a map -------------------------------------------------------------------


def test_code_writes_a_program_or_a_notebook_and_prints_without_a_file(
    model_folder, tmp_path, capsys
):
    asked = ["code", *patch(model_folder)[1:]]
    assert main(asked) == 0
    printed = capsys.readouterr().out
    assert f"clean = tokenizer({CLEAN!r})" in printed and "PatchParams(layer, position" in printed
    assert main([*asked, "--fast", f"--out={tmp_path / 'map.py'}"]) == 0
    quick = (tmp_path / "map.py").read_text(encoding="utf-8")
    assert f"clean={CLEAN!r}" in quick and "for layer" not in quick
    assert main([*asked, "--window=1", f"--out={tmp_path / 'map.ipynb'}"]) == 0
    book = json.loads((tmp_path / "map.ipynb").read_text(encoding="utf-8"))
    patched = "patched('resid_post', range(layer - 1, layer + 2), position)"
    assert any(patched in line for cell in book["cells"] for line in cell["source"])
    assert capsys.readouterr().out == ""


def test_code_refuses_what_cannot_be_patched_or_written(model_folder, tmp_path, capsys):
    asked = ["code", *patch(model_folder)[1:]]
    of_text = mistake(capsys, [*asked, f"--out={tmp_path / 'map.txt'}"])
    assert of_text == f"--out writes a .py or an .ipynb file: call {tmp_path / 'map.txt'} so."
    unequal = ["code", *patch(model_folder, corrupted="Anna")[1:], f"--out={tmp_path / 'map.py'}"]
    assert "the clean text has 6 more" in mistake(capsys, unequal)
    assert not any(tmp_path.iterdir())
