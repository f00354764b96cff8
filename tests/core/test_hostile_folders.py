"""Whatever stands in a model folder, the answer is the model or one clear sentence."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import catalogue, models
from tests import hostile

SOME = settings(max_examples=100, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def sound(model_folder):
    return models.load(catalogue.find(str(model_folder)))


@pytest.mark.filterwarnings("ignore")
@SOME
@given(data=st.data())
def test_a_folder_with_faults_is_refused_or_the_model_it_was(
    data, sound, model_folder, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("hostile") / "model"
    shutil.copytree(model_folder, folder)
    must = hostile.spoil(data.draw, folder)
    assert hostile.outcome(folder, sound, must) in ("refused", "loaded")
