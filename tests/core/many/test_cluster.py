"""Many pairs on a real Dask cluster of two worker processes: what one process says, whatever
becomes of the workers; and what is missing is named."""

import json
import shutil
import signal
import sys
import time
from dataclasses import replace

import pytest
import torch

from core import catalogue, models
from core.__main__ import main
from core.errors import UserError
from core.many import cluster, packs, sweeping
from core.many.cluster import Cluster
from core.many.pairs import write
from core.many.survey import Sample, Survey
from core.question.experiment import Experiment
from tests import builders, dask_processes

pytest.importorskip("distributed")
pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dask")


@pytest.fixture(scope="module")
def address(folder):
    with dask_processes.scheduler(folder) as address:
        yield address


@pytest.fixture(scope="module")
def workers(folder, address):
    with dask_processes.worker(folder) as one, dask_processes.worker(folder) as other:
        yield one, other


@pytest.fixture(scope="module")
def model():
    return models.load(catalogue.TEACHING, device="cpu")


@pytest.fixture
def small_parts(monkeypatch):
    """Of one pair each."""
    monkeypatch.setattr(sweeping, "BATCH_WORK", 1.0)


def survey_of(model, count: int, site: str = "resid_post") -> Survey:
    sample = Sample(packs.PACKS["teaching-surname"].make()[:count], [], model)
    return Survey(sample, Experiment(*[""] * 4, model="teaching", site=site))


def refusal(address: str, model) -> str:
    with pytest.raises(UserError) as error:
        Cluster(address, model)
    return str(error.value)


def test_a_cluster_without_workers_says_so(address, model, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    said = refusal(address, model)
    assert said == f"The cluster at {address} has no workers: start some, as README.md says."


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://127.0.0.1", "http://a:1", ""])
def test_a_scheduler_that_is_not_there_is_named(address, model, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    assert refusal(address, model).startswith(f"No Dask scheduler answers at {address} (")


def test_without_dask_it_is_said_how_to_get_it(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = refusal("tcp://127.0.0.1:9", model)
    assert said == "A cluster needs Dask: pip install -r requirements-cluster.txt"


@pytest.mark.parametrize("direction", ["denoise", "dataset_mean"])
def test_the_command_says_on_two_workers_what_it_says_on_none(
    address, workers, small_parts, tmp_path, direction
):
    file, out = tmp_path / "pairs.csv", tmp_path / "out"
    file.write_text(write(packs.PACKS["teaching-surname"].make()[:12]), encoding="utf-8")
    said = []
    for more in ([], [f"--scheduler={address}", f"--out={out}"]):
        given = ["many", str(file), "--keep=flips", f"--direction={direction}"]
        assert main([*given, f"--json={tmp_path / 'a'}", *more]) == 0
        said.append(json.loads((tmp_path / "a").read_text()))
    alone, spread = said
    for name in ("mean", "low", "high", "agreement"):
        assert torch.allclose(*(torch.tensor(of.pop(name)) for of in said), atol=1e-5)
    assert spread["axes"] == alone["axes"]
    assert spread["n_used"] == alone["n_used"] > 1 and spread["dropped"] == alone["dropped"]
    assert len((out / "values.jsonl").read_text().splitlines()) == alone["n_used"]


def test_torch_has_as_many_threads_as_dask_gave_the_worker(address, workers, model):
    with Cluster(address, model) as found:
        threads = found._client.run(torch.get_num_threads)
    assert list(threads.values()) == [1, 1]


def test_a_worker_with_another_model_or_program_is_refused(
    address, workers, model, model_folder, tmp_path, monkeypatch
):
    here = tmp_path / "tiny"
    shutil.copytree(model_folder, here)
    monkeypatch.chdir(tmp_path)
    tiny = models.load(catalogue.find("tiny"), device="cpu")
    other = builders.random_gpt(3, 2, 8, vocab_size=tiny.gpt.config.vocab_size, seed=1)
    builders.write_model_folder(here, other)
    assert f"{here} has other weights" in refusal(address, tiny)
    shutil.copytree(model_folder, here, dirs_exist_ok=True)
    for of in (tiny, model):  # they find the folder, though they run elsewhere, and then forget it
        Cluster(address, of).close()
    shutil.rmtree(here)
    assert f"There is no model '{here}'" in refusal(address, tiny)
    gpt2 = replace(model, entry=catalogue.named("gpt2"))
    assert "the model gpt2 is not on its machine: put it there." in refusal(address, gpt2)
    monkeypatch.setattr(cluster, "version", lambda: "another")
    assert "it runs another version of Patchboard" in refusal(address, model)


def test_whoever_stops_frees_the_workers(address, workers, model, small_parts):
    survey = survey_of(model, 60, "head_z_position")
    with Cluster(address, model) as found:
        going = found.sweep(survey)
        while not survey.swept:
            next(going)
        assert any(found._client.processing().values())
        going.close()
        until = time.monotonic() + 5
        while any(found._client.processing().values()):
            assert time.monotonic() < until
            time.sleep(0.02)
    assert 0 < len(survey.swept) < 60


def test_a_worker_that_is_killed_changes_nothing(address, workers, model, small_parts):
    alone, spread = survey_of(model, 60), survey_of(model, 60)
    list(alone)
    with Cluster(address, model) as found:
        for _ in found.sweep(spread):
            if len(spread.swept) > 2 and workers[1].poll() is None:
                assert all(found._client.processing().values())  # both are at work
                workers[1].send_signal(signal.SIGKILL)
                workers[1].wait()
        assert len(found) == 1
    answers = [survey.read(Experiment(*[""] * 4)).to_dict() for survey in (alone, spread)]
    for name in ("mean", "low", "high"):
        assert torch.allclose(*(torch.tensor(of[name]) for of in answers), atol=1e-5)
    assert [of["n_used"] for of in answers] == [60, 60]
