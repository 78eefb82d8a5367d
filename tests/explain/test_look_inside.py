"""One command looks into what another has trained."""

import json
import runpy
from pathlib import Path

import pytest

import tfdl

RECIPE = Path(__file__).parents[2] / "recipes" / "2_vision" / "look_inside.py"


def look(tmp_path, **flags):
    recipe = runpy.run_path(str(RECIPE))
    run = tfdl.Run(smoke=True, strategy="single", out=str(tmp_path / "look"))
    return recipe["main"](recipe["Config"](run=run, **flags))


@pytest.fixture
def trained_run(tmp_path):
    """What `tfdl run classify_images --data digits --model vit` leaves behind, as far as it is read here."""
    model = tfdl.build("vit", "nano", image_shape=(24, 32, 3), num_classes=10)
    best = tmp_path / "trained" / "checkpoints" / "best"
    best.mkdir(parents=True)
    model.save(best / "model.keras")
    (tmp_path / "trained" / "config.json").write_text(json.dumps({"data": "digits"}))
    return tmp_path / "trained"


def test_run_folder_tells_its_data_and_a_transformer_gets_rollout(trained_run, tmp_path):
    summary = look(tmp_path, checkpoint=str(trained_run), data="no such set", photo="embedded")
    assert set(summary["metrics"]) == {"accuracy", "changed_at_peak", "changed_at_center", "changed_at_random"}
    figures = {path.name for path in (tmp_path / "look" / "figures").iterdir()}
    assert figures == {"filters.png", "feature_maps.png", "where.png"}
    assert list((tmp_path / "look" / "tb").rglob("events.out.tfevents*"))
    assert not (tmp_path / "look" / "arms").exists(), "nothing is trained"


def test_folder_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no model at"):
        look(tmp_path, checkpoint=str(tmp_path))
