"""The developer tools: results from run folders, a page from results, a new topic from nothing."""

import json
import re
import runpy
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import tfdl
from tfdl.catalog import TOPICS
from tools import new_topic, parity, readme_table, results_table

ROOT = Path(__file__).resolve().parent.parent
UNBUILT = next(topic.key for topic in TOPICS if topic.module is None and topic.recipe is None)


def run_folder(place, seed, accuracy, **changes):
    """A finished run's folder with the summary.json that `tfdl.session.session.Session.finish` writes."""
    folder = place / f"seed{seed}_{accuracy}"
    folder.mkdir()
    config = {"model": "mobilenet", "epochs": 3, "run.seed": seed, "run.out": str(folder.name), "run.smoke": False}
    summary = {
        "command": f"python recipes/classify_images.py --epochs 3 --run.seed {seed} --run.out {folder.name}",
        "commit": "0123456789ab",
        "seed": seed,
        "metrics": {"test_accuracy": accuracy, "test_loss": 0.5},
        "seconds": 60.0 + seed,
        "weights_sha256": f"{seed:064x}",
        "versions": {"keras": "3.15.1"},
        "config": config | changes,
        "export": {"artifacts": {"model_int8.tflite": {"agreement": 0.98}}},
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def recorded(folders, target=0.9, at_most=False, metric="test_accuracy"):
    return results_table.record(folders, "digits | nano", metric, target, at_most, "ours")


def test_results_page_is_current():
    assert results_table.main(["--check"]) == 0


def test_record_gathers_seeds_and_drops_them_from_the_command(tmp_path):
    row = recorded([run_folder(tmp_path, seed, value) for seed, value in ((0, 0.91), (1, 0.97))])
    assert [(run["seed"], run["value"]) for run in row["runs"]] == [(0, 0.91), (1, 0.97)]
    assert row["command"] == "python recipes/classify_images.py --epochs 3"
    assert row["config"] == {"model": "mobilenet", "epochs": 3, "run.smoke": False}


def test_record_finds_what_the_export_says_of_the_int8_file(tmp_path):
    row = recorded([run_folder(tmp_path, 0, 0.91)], metric="int8_agreement")
    assert (row["metric"], row["runs"][0]["value"]) == ("int8_agreement", 0.98)


def test_line_shows_mean_deviation_and_minutes(tmp_path):
    values = [0.91, 0.97, 0.95]
    line = results_table.line(recorded([run_folder(tmp_path, seed, value) for seed, value in enumerate(values)]))
    assert f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f} |" in line
    assert "| 0, 1, 2 | 1.0 |" in line
    assert "digits \\| nano" in line
    assert line.replace("\\|", "").count("|") == results_table.HEADER.splitlines()[-1].count("|")


def test_missed_target_is_shown_as_missed_in_both_directions(tmp_path):
    folder = run_folder(tmp_path, 0, 0.95)
    assert "(missed)" in results_table.line(recorded([folder], target=0.96))
    assert "(missed)" not in results_table.line(recorded([folder], target=0.94))
    assert "(missed)" in results_table.line(recorded([folder], target=0.4, at_most=True, metric="test_loss"))


def test_record_refuses_what_would_mislead(tmp_path):
    first = run_folder(tmp_path, 0, 0.9)
    with pytest.raises(ValueError, match=r"differs .* in epochs"):
        recorded([first, run_folder(tmp_path, 1, 0.9, epochs=4)])
    with pytest.raises(ValueError, match="same seed"):
        recorded([first, run_folder(tmp_path, 0, 0.8)])
    with pytest.raises(ValueError, match="smoke run"):
        recorded([run_folder(tmp_path, 2, 0.9, **{"run.smoke": True})])
    with pytest.raises(ValueError, match="no metric 'accuracy'; it has test_accuracy, test_loss"):
        recorded([first], metric="accuracy")
    with pytest.raises(FileNotFoundError, match=r"no summary\.json"):
        recorded([tmp_path])


def test_check_sees_a_stale_page(tmp_path, monkeypatch):
    monkeypatch.setattr(results_table, "ROOT", tmp_path)
    folder = run_folder(tmp_path, 0, 0.95)
    arguments = ["record", str(folder), "--name", "digits", "--title", "digits", "--target", "0.9", "--source", "ours"]
    assert results_table.main(arguments) == 0
    assert "0.9500" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert results_table.main(["--check"]) == 0
    (tmp_path / "results" / "digits.json").unlink()
    assert results_table.main(["--check"]) == 1
    assert not list(tmp_path.rglob("*.new"))


def comparison(model="resnet", logits=2e-6, **changes):
    """A row of results/parity.json."""
    row = {"model": model, "variant": "18", "library": "torchvision", "version": "0.28.0", "network": "resnet18"}
    row |= {"image": "97x130", "parameters": 11689512, "their_parameters": 11689512, "logits": logits}
    row |= {"relative": 3e-6}
    return row | {"maps": 2.2e-5, "worst_map": "stride32"} | changes


def test_parity_is_shown_with_its_reference(tmp_path):
    rows = [comparison(), comparison("vgg", maps=None, worst_map=None)]
    (tmp_path / "parity.json").write_text(json.dumps(parity.document(rows)), encoding="utf-8")
    text = results_table.page(tmp_path)
    assert (
        "| resnet | 18 | torchvision 0.28.0 resnet18 | 97x130 | 11,689,512 | 2.0e-06 | 3.0e-06 | 2.2e-05 (stride"
        in text
    )
    assert "| 2.0e-06 | 3.0e-06 |  |\n" in text


def test_speeds_are_shown_and_missed_targets_marked(tmp_path):
    row = {"model": "resnet50", "measure": "inference", "against": "float32", "batch": 8, "image": 128}
    rows = [row | {"ratio": x, "low": 1.2, "high": 1.6, "pairs": 9, "target": 1.5} for x in (1.55, 1.44)]
    (tmp_path / "bench_vision.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    scaling = {"network": "mlp 64", "parameters": 55050, "throughput_ratio": 1.5, "step_ms_of_one": 2.0}
    scaling |= {"extra_ms_of_two": 0.7, "megabytes_reduced": 0.22, "checkpoint_megabytes": 0.7}
    scaling |= {"save_ms": 5.5, "read_ms": 1.0}
    (tmp_path / "bench_scaling.json").write_text(json.dumps({"rows": [scaling]}), encoding="utf-8")
    text = results_table.page(tmp_path)
    assert "| resnet50 | inference | float32 | 8 | 128 px | 1.55 [1.20, 1.60] | ≥ 1.5 |" in text
    assert "| 1.44 [1.20, 1.60] (missed) | ≥ 1.5 |" in text
    assert "| mlp 64 | 55,050 | 1.5 | 2 | 0.7 | 0.22 | 0.7 | 5.5 | 1 |" in text


def test_statistics_are_shown_as_means_over_seeds(tmp_path):
    row = {"data": "digits", "seed": 0, "images": 1266, "commonest_class": 0.1, "steps": 20, "cost": 0.02}
    first = row | {"moving_averages": [0.1, 0.1, 0.5], "taken_anew": [0.1, 0.6, 0.8]}
    second = row | {"seed": 1, "moving_averages": [0.1, 0.3, 0.7], "taken_anew": [0.3, 0.8, 0.8], "cost": 0.03}
    (tmp_path / "bench_statistics.json").write_text(json.dumps({"rows": [first, second]}), encoding="utf-8")
    expected = "| digits | 1,266 | 20 | 0, 1 | 0.100, 0.200, 0.600 | 0.200, 0.700, 0.800 | 1.5 → 0.5 of 3 | 2.5% |"
    assert expected in results_table.page(tmp_path)


def test_comparing_some_models_keeps_the_rows_of_the_others():
    before = [comparison("alexnet"), comparison("resnet", logits=1.0), comparison("resnet", variant="50")]
    rows = parity.merged([comparison("resnet"), comparison("densenet")], before)
    assert [(row["model"], row["logits"]) for row in rows] == [("alexnet", 2e-6), ("densenet", 2e-6), ("resnet", 2e-6)]


def test_recorded_parity_passes_for_every_family_of_image_models():
    rows = json.loads((ROOT / "results" / "parity.json").read_text(encoding="utf-8"))["rows"]
    assert all(row["logits"] <= 1e-4 and (row["maps"] or 0) <= 1e-3 for row in rows)
    assert all(row.get("relative", 0) <= 5e-5 for row in rows)
    assert all(row["parameters"] == row["their_parameters"] for row in rows)
    folders = ("tfdl.models.convnets.", "tfdl.models.vision_transformers.")
    models = [topic.key for topic in tfdl.topics(built=True) if topic.is_model and topic.module.startswith(folders)]
    assert len(models) >= 10
    for model in models:
        assert len({row["variant"] for row in rows if row["model"] == model}) >= 2, model


def test_parity_without_the_libraries_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert parity.main([]) == 1
    error = capsys.readouterr().err
    assert re.search(r"The extra `parity` is not installed \(.*timm.* missing\): use make parity.", error)


def test_page_of_topics_has_every_topic_once_with_links_that_exist(tmp_path, monkeypatch, capsys):
    text = readme_table.page()
    assert [
        line.split("`")[1] for line in text.partition("## Other names")[0].splitlines() if line.startswith("| `")
    ] == [topic.key for topic in tfdl.topics()]
    links = re.findall(r"\]\(\.\./([^)]+)\)", text)
    assert links and all((ROOT / link).is_file() for link in links)
    monkeypatch.setattr(readme_table, "PAGE", tmp_path / "docs" / "topics.md")
    assert readme_table.main(["--check"]) == 1
    assert "topics.md is not current: run `python tools/readme_table.py`" in capsys.readouterr().err
    assert readme_table.main([]) == 0 and readme_table.main(["--check"]) == 0


@pytest.fixture
def checkout(tmp_path):
    """As much of the tree as a new topic touches."""
    (tmp_path / "tfdl").mkdir()
    shutil.copy(ROOT / "tfdl" / "catalog.py", tmp_path / "tfdl" / "catalog.py")
    return tmp_path


def test_new_topic_writes_model_test_and_row(checkout):
    key = UNBUILT
    model, test, init = new_topic.scaffold(checkout, key, "models/detection")
    assert model.relative_to(checkout).as_posix() == f"tfdl/models/detection/{key}.py"
    rows = runpy.run_path(str(checkout / "tfdl" / "catalog.py"))["TOPICS"]
    assert [row.module for row in rows if row.key == key] == [f"tfdl.models.detection.{key}"]
    network = runpy.run_path(str(model))[key]("nano", image_shape=(32, 48, 3), num_classes=10)
    assert network.output_shape == (None, 10)
    assert sum(weight.shape.num_elements() for weight in network.trainable_weights) == new_topic.COUNT
    ruff = [sys.executable, "-m", "ruff"]
    for step in (["check", "--config", str(ROOT / "pyproject.toml")], ["format", "--check", "--line-length", "120"]):
        result = subprocess.run([*ruff, *step, str(model), str(test), str(init)], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_new_topic_overwrites_nothing(checkout):
    new_topic.scaffold(checkout, UNBUILT, "models/convnets")
    file = checkout / f"tfdl/models/convnets/{UNBUILT}.py"
    before = file.read_text(encoding="utf-8")
    with pytest.raises(FileExistsError):
        new_topic.scaffold(checkout, UNBUILT, "models/convnets")
    assert file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    "key, folder, message",
    [
        ("mobilenet", "models/convnets", "built already"),
        (UNBUILT, "layers", "image models"),
        ("vgh", "models/convnets", "nearest are 'vgg'"),
    ],
)
def test_new_topic_refuses_with_a_reason(checkout, key, folder, message):
    with pytest.raises(ValueError, match=message):
        new_topic.scaffold(checkout, key, folder)
    assert not (checkout / "tfdl" / "models").exists()
