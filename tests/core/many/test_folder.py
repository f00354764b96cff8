"""Work in a folder: it survives what ends a program, is told from other work, and its shards are
joined to what one machine would have said."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from core.__main__ import main
from core.many import packs, sweeping
from core.many.fitting import Fitted
from core.many.folder import SURVEY
from core.many.pairs import write
from core.many.store import VALUES, digest
from core.question.experiment import Experiment
from core.result import ModelCard

ROOT = Path(__file__).parents[3]
# Pairs one by one, so that there is a middle to end it in.
SLOWLY = "import sys; from core.__main__ import main; from core.many import sweeping;"
SLOWLY += "sweeping.BATCH_WORK = 1.0; sys.exit(main(sys.argv[1:]))"


pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """Twelve pairs, of which three do not flip, and a row that is none."""
    pairs = packs.PACKS["teaching-surname"].make()[:12]
    for i in (0, 5, 10):
        pairs[i] = replace(pairs[i], target=pairs[i].foil, foil=pairs[i].target)
    path = tmp_path_factory.mktemp("file") / "pairs.csv"
    path.write_text(write(pairs) + "x,,Mary was,John was sad, she, he\n", encoding="utf-8")
    return path


def many(*arguments: object) -> int:
    return main(["many", *map(str, arguments)])


def answer(folder: Path) -> dict:
    return json.loads((folder / "answer.json").read_text())


def assert_same(one: dict, other: dict) -> None:
    """But for what the order of adding up does to a number."""
    assert one.keys() == other.keys()
    for name in one:
        if name in ("mean", "low", "high", "agreement"):
            np.testing.assert_allclose(one[name], other[name], atol=2e-5)
        elif name in ("clean_value", "corrupted_value"):
            assert one[name] == pytest.approx(other[name], abs=2e-5)
        elif name == "baselines":
            assert one[name].keys() == other[name].keys()
            for metric, means in one[name].items():
                assert means == pytest.approx(other[name][metric], abs=2e-5)
        else:
            assert one[name] == other[name]


def digests(folder: Path) -> list[str]:
    """Of the pairs that are done; a line that was written in part is none."""
    lines = (folder / VALUES).read_bytes().split(b"\n")
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line)[0])
    return found


def refusal(capsys, *arguments: object) -> str:
    capsys.readouterr()
    assert many(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err.removeprefix("patchboard: ").rstrip()


def test_a_program_that_is_killed_goes_on_and_computes_nothing_again(tmp_path, capsys):
    made = packs.PACKS["teaching-surname"].make()[:60]
    (tmp_path / "pairs.csv").write_text(write(made), encoding="utf-8")
    given = [tmp_path / "pairs.csv", "--site=head_z", "--out", tmp_path / "out"]
    command = [sys.executable, "-c", SLOWLY, "many", *map(str, given)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as program:
        values = tmp_path / "out" / VALUES
        while not values.exists() or values.read_bytes().count(b"\n") < 9:
            assert program.poll() is None
            time.sleep(0.01)
        program.send_signal(signal.SIGKILL)
    done = digests(tmp_path / "out")
    assert 9 <= len(done) < len(made)
    capsys.readouterr()
    assert many(*given, "--resume") == 0
    kept = f"Kept from before: {len(done)} of {len(made)} pairs; to do: {len(made) - len(done)}."
    assert capsys.readouterr().err.splitlines()[0] == kept
    after = digests(tmp_path / "out")
    assert after[: len(done)] == done and len(set(after)) == len(after) == len(made)
    assert many(*given[:-1], tmp_path / "whole") == 0
    assert_same(answer(tmp_path / "out"), answer(tmp_path / "whole"))


def test_a_full_disk_is_one_line_and_what_was_done_is_good(file, tmp_path):
    out = tmp_path / "out"
    given = ["many", str(file), "--out", str(out)]

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    command = [sys.executable, "-c", SLOWLY, *given]
    ran = subprocess.run(command, cwd=ROOT, preexec_fn=little_room, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (
        2,
        f"patchboard: {out / VALUES} cannot be written on: File too large. What is in it is good:"
        " go on from it with --resume.\n",
    )
    done = digests(out)
    assert 0 < len(done) < 12
    assert main([*given, "--resume"]) == 0
    assert digests(out)[: len(done)] == done and len(digests(out)) == 12


@pytest.mark.parametrize("keep", ["all", "flips"])
def test_shards_in_any_order_are_what_one_machine_says(file, tmp_path, monkeypatch, capsys, keep):
    """Some of which have no pair that is used, or no row."""
    given = [file, "--keep", keep, "--metric=recovery", "--samples-seed=3"]
    assert many(*given, "--out", tmp_path / "whole") == 0
    folders = [tmp_path / str(i) for i in range(1, 16)]
    for i, folder in enumerate(folders, start=1):
        assert many(*given, f"--shard={i}/15", "--out", folder) == 0
    said = capsys.readouterr().out
    assert "0 used of 0 given, and has no map of its own: none of its rows is used." in said
    monkeypatch.setattr("core.models.load", None)
    mixed = [*folders[7:], *folders[6::-1]]
    assert many("merge", "--out", tmp_path / "merged", *mixed) == 0
    whole = answer(tmp_path / "whole")
    assert whole["n_used"] == (9 if keep == "flips" else 12) and whole["n_given"] == 13
    assert_same(answer(tmp_path / "merged"), whole)
    printed = capsys.readouterr().out
    assert f"{whole['n_used']} used of 13 given" in printed
    assert many("merge", tmp_path / "merged", "--json=-") == 0  # it is as one machine's folder
    assert json.loads(capsys.readouterr().out) == answer(tmp_path / "merged")


def test_a_folder_is_gone_on_with_only_where_it_is_of_the_same(file, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    assert many(file, "--out", out) == 0
    monkeypatch.setattr(sweeping, "sweep", None)  # nothing is computed any more
    assert refusal(capsys, file, "--out", out) == (
        f"{out} holds a survey already: add --resume to go on from it, or name another folder."
    )
    again = [file, "--out", out, "--resume"]
    for more, says in (
        (["--site=mlp_out"], "is of another site: resid_post, not mlp_out"),
        (["--metric=kl"], "is of another metrics: logit_diff, not kl"),
        (["--keep=first"], "is of another keep: all, not first"),
        (["--step=0"], "is of another model: teaching (29e28e213b3a), not teaching@seed0-step0 ("),
        (["--shard=1/2"], "is share 1/1, not 1/2"),
    ):
        assert refusal(capsys, *again, *more).startswith(f"{out} {says}")
    other = tmp_path / "other.csv"
    other.write_text(file.read_text() + "\n")
    assert refusal(capsys, other, *again[1:]).startswith(f"{out} is of another file: ")
    assert refusal(capsys, file, "--out", tmp_path) == (
        f"{tmp_path} holds other files: name a folder that is new or empty."
    )
    assert refusal(capsys, file, "--resume").startswith("--resume needs --out")
    assert refusal(capsys, file, "--shard=1/2").startswith("--shard needs --out")
    chosen = [file, "--keep=flips", "--out", tmp_path / "chosen"]
    monkeypatch.undo()
    assert many(*chosen) == 0
    for step in ("sweep", "screen"):
        monkeypatch.setattr(sweeping, step, None)
    assert many(*chosen, "--resume") == 0
    # How pairs are summed up is no part of what is done of each.
    assert many(*again, "--metric=logit_diff", "--samples-seed=5") == 0
    assert answer(out)["bootstrap"]["seed"] == 5 and answer(out)["metric"] == "logit_diff"


@pytest.mark.parametrize("share", ["0/5", "6/5", "a/b", "1", "1/2/3", "-1/2", "1/0", "²/3"])
def test_a_share_that_is_none_is_refused(file, tmp_path, capsys, share):
    said = refusal(capsys, file, f"--shard={share}", "--out", tmp_path / "out")
    assert f"'{share}' is no share: the shares of four are 1/4, 2/4, 3/4 and 4/4" in said


def test_shards_that_are_not_all_of_one_survey_are_named(file, tmp_path, capsys):
    one, two, other, third = (tmp_path / name for name in ("one", "two", "other", "third"))
    for folder, *more in (
        (one, "--shard=1/2"),
        (two, "--shard=2/2"),
        (other, "--shard=2/2", "--direction=noise"),
        (third, "--shard=2/3"),
    ):
        assert many(file, "--out", folder, *more) == 0
    assert many("merge", one, two) == 0
    none = tmp_path / "none.csv"
    none.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))  # it does not flip
    for i in (1, 2):
        assert many(none, "--keep=flips", f"--shard={i}/2", "--out", tmp_path / f"none{i}") == 0
    for folders, says in (
        ([tmp_path / "none1", tmp_path / "none2"], "None of 1 pair is used: does not flip: LD"),
        ([one], "Of 2 shares 1 are not here: 2/2."),
        ([one, two, one], f"{one} and {one} are both share 1/2."),
        ([one, other], f"{other} is of another direction: noise, not denoise, as {one} is."),
        ([one, third], f"{third} is share 2/3, and {one} is 1/2."),
        ([one, tmp_path], f"{tmp_path} holds no survey (No such file or directory): name a folder"),
    ):
        assert refusal(capsys, "merge", *folders).startswith(says)
    assert many(file, "--out", two, "--shard=2/2", "--resume", "--samples-seed=1") == 0
    assert refusal(capsys, "merge", one, two) == f"{two} has another seed than {one}."
    (two / VALUES).write_bytes((two / VALUES).read_bytes()[:-20])
    lacks = f"{two} lacks the values of 1 of its pairs: run its command again with --resume."
    assert refusal(capsys, "merge", one, two) == lacks
    head = json.loads((two / SURVEY).read_text())
    del head["about"]
    (two / SURVEY).write_text(json.dumps(head))
    assert refusal(capsys, "merge", one, two).startswith(f"{two} is not finished: run its command")
    (two / SURVEY).write_text("[")
    assert refusal(capsys, "merge", one, two).startswith(f"{two / SURVEY} is damaged, or of")


def test_a_file_that_is_called_merge_is_read_as_one_of_its_folder(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("merge").write_bytes(file.read_bytes())
    assert many("./merge", f"--json={os.devnull}") == 0


@pytest.mark.parametrize("more", [["dataset_mean"], ["resample", "--resample-seed=2"]])
def test_shards_put_in_what_the_whole_file_gives(file, tmp_path, capsys, more):
    """The pairs that are used, of all shards, whichever shard a pair is in."""
    given = [file, "--keep=flips", "--metric=kl", "--direction", *more]
    assert many(*given, "--out", tmp_path / "whole") == 0
    folders = [tmp_path / str(i) for i in (1, 2, 3)]
    for i, folder in enumerate(folders, start=1):
        assert many(*given, f"--shard={i}/3", "--out", folder) == 0
    assert many("merge", *folders[::-1], "--out", tmp_path / "merged") == 0
    whole, merged = (answer(tmp_path / name) for name in ("whole", "merged"))
    assert_same(whole, merged)
    assert whole["taken_from"] == {**whole["taken_from"], "pairs": 9, "by_role": True}
    assert {*digests(tmp_path / "whole")} == {*digests(tmp_path / "merged")}
    if more[0] == "resample":
        assert "drawn by seed 2" in whole["in_words"]["patched"]
        other = [*given[:-1], "--resample-seed=3", "--out", tmp_path / "whole", "--resume"]
        assert "is of another resample_seed: 2, not 3" in refusal(capsys, *other)


def test_a_folder_of_what_was_called_mean_is_gone_on_with(file, tmp_path, monkeypatch):
    out = tmp_path / "out"
    given = [file, "--metric=kl", "--site=head_z", "--out", out]
    pair, new = Fitted(None, (1,), (2,), (3,), (4,), ()), Experiment(*"abcd", direction="mean")
    old = SimpleNamespace(**new.to_dict() | {"direction": "mean"})
    card = ModelCard("a", "b", 1, 1)
    assert new.direction == "position_mean"
    assert digest(pair, card, new, ["kl"]) == digest(pair, card, old, ["kl"])
    assert many(*given, "--direction=position_mean") == 0
    said = json.loads((out / SURVEY).read_text())
    said["of"]["direction"] = said["about"]["experiment"]["direction"] = "mean"
    del said["about"]["source"]  # which there was not either
    (out / SURVEY).write_text(json.dumps(said))
    assert many("merge", out, "--out", tmp_path / "merged") == 0
    assert answer(tmp_path / "merged")["experiment"]["direction"] == "position_mean"
    monkeypatch.setattr(sweeping, "sweep", None)
    assert many(*given, "--direction=mean", "--resume") == 0
