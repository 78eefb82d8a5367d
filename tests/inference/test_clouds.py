"""Clouds of points from files to answers: classes, parts and boxes, drawn, as JSON and evaluated."""

import json

import keras
import numpy as np
import pytest

import tfdl
from tfdl.commands import evaluate, predict
from tfdl.core.batches import OUTSIDE
from tfdl.core.clouds import chosen, decoded, normalized
from tfdl.core.files import write_json
from tfdl.core.task import Task
from tfdl.models.three_d.pointnet import pointnet
from tfdl.models.three_d.voxelnet import voxelnet

LABELS = ("cone", "cube", "ring")
POINTS = 40


def saved(folder, model, **task):
    """A run folder as predictions need it."""
    (folder / "checkpoints" / "best").mkdir(parents=True)
    model.save(folder / "checkpoints" / "best" / "model.keras")
    write_json(folder / "task.json", Task(points=POINTS, **task).to_json())
    return folder


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("runs")
    classes = pointnet("nano", points=POINTS, num_classes=3)
    parts = pointnet("nano_segmentation", points=POINTS, num_classes=3)
    boxes = voxelnet("nano", points=POINTS)
    boxes.get_layer("score_map").bias.assign([-1.0, -3.0])
    return {
        "classes": saved(folder / "classes", classes, kind="point_classification", labels=LABELS),
        "parts": saved(folder / "parts", parts, kind="point_segmentation", labels=LABELS),
        "boxes": saved(folder / "boxes", boxes, kind="point_detection", labels=("car",), features=4),
    }


@pytest.fixture
def scans(tmp_path):
    """Files of each kind, larger and smaller than what the networks take, and broken ones."""
    folder = tmp_path / "scans"
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "a.npy", rng.uniform([0, -3, -2, 0], [6, 3, 0, 1], (70, 4)).astype("float32"))
    np.savez(folder / "b.npz", points=rng.uniform([0, -3, -2, 0], [6, 3, 0, 1], (30, 4)), other=np.zeros(3))
    rng.uniform([0, -3, -2, 0], [6, 3, 0, 1], (40, 4)).astype("<f4").tofile(folder / "c.bin")
    return folder


@pytest.mark.parametrize("kind", ["classes", "parts", "boxes"])
def test_clouds_of_any_size_are_answered_and_drawn(kind, sources, scans, tmp_path, capsys):
    out = tmp_path / "drawn"
    words = [str(sources[kind]), str(scans), "--json", "--out", str(out)]
    assert predict.main(words + ["--score", "0.2"] * (kind == "boxes")) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["path"][-5:] for row in rows] == ["a.npy", "b.npz", "c.bin"]
    assert {path.name for path in out.iterdir()} == {"a.png", "b.png", "c.png", "contact_sheet.png"}
    if kind == "classes":
        assert {row["classes"][0]["label"] for row in rows} <= set(LABELS)
    if kind == "parts":
        assert [len(row["numbers"]) for row in rows] == [70, 30, 40]
    if kind == "boxes":
        assert all(len(row["objects"]) >= 1 for row in rows)
        assert set(rows[0]["objects"][0]["box"]) == {"x", "y", "z", "l", "w", "h", "yaw"}


def test_table_and_csv_have_a_line_for_each(sources, scans, capsys):
    for kind in ("parts", "boxes"):
        assert predict.main([str(sources[kind]), str(scans / "a.npy")]) == 0
        assert predict.main([str(sources[kind]), str(scans / "a.npy"), "--csv", "--top", "2"]) == 0
        table, header, row = capsys.readouterr().out.splitlines()
        assert "a.npy" in table and len(header.split(",")) == len(row.split(","))


def test_answers_are_the_network_s(sources, scans):
    model = tfdl.load(sources["parts"])
    cloud = np.load(scans / "a.npy")
    (result,) = model.predict(cloud)
    seen = normalized(cloud[:, :3])[chosen(70, POINTS)]
    logits = model.backend.model(seen[None])[0]
    np.testing.assert_array_equal(result.numbers[chosen(70, POINTS)], np.argmax(logits, -1))
    again = model.predict([scans / "a.npy", cloud])
    np.testing.assert_array_equal(again[0].numbers, again[1].numbers)


def test_smaller_clouds_are_filled(sources, scans):
    few = np.load(scans / "b.npz")["points"].astype("float32")
    boxes, classes = tfdl.load(sources["boxes"]), tfdl.load(sources["classes"])
    fitted = boxes.fitted(few)
    assert fitted.shape == (POINTS, 4) and (fitted[30:] == OUTSIDE).all() and len(np.unique(fitted[:30], axis=0)) == 30
    assert len(np.unique(classes.fitted(few[:, :3]), axis=0)) == 30


def test_broken_clouds_are_named_and_the_others_answered(sources, scans, capsys):
    (scans / "d.npy").write_bytes(b"no array")
    np.save(scans / "e.npy", np.full((5, 4), np.nan))
    np.save(scans / "f.npy", np.zeros((5, 3)))
    np.savez(scans / "g.npz", first=np.zeros((5, 4)), second=np.zeros(2))
    (scans / "h.bin").write_bytes(b"123")
    assert predict.main([str(sources["boxes"]), str(scans), "--json"]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3 and "Traceback" not in err
    for text in ("e.npy: it has points that are not finite", "f.npy: its points have 3 numbers, and the model takes 4",
                 "g.npz: it has no array 'points' but first, second", "d.npy: ", "h.bin: "):  # fmt: skip
        assert text in err
    with pytest.raises(ValueError, match=r"a cloud is \(points, 3 or more numbers\), this is \(5,\)"):
        tfdl.load(sources["boxes"]).predict([np.zeros(5)])


def test_files_are_read_by_their_endings(scans):
    assert decoded((scans / "c.bin").read_bytes(), "C.BIN").shape == (40, 4)
    with pytest.raises(ValueError, match=r"a cloud is a file \.npy, \.npz, \.bin"):
        decoded(b"", "x.ply")


@pytest.fixture
def data(tmp_path):
    """A file with a class for each cloud, and one with a class for each point."""
    rng = np.random.default_rng(0)
    arrays = {f"{split}_points": rng.normal(size=(6, POINTS, 3)) for split in ("train", "test")}
    arrays |= {"class_names": np.array(LABELS)}
    for name, shape in (("whole", (6,)), ("points", (6, POINTS))):
        labels = {f"{split}_label": rng.integers(0, 3, shape) for split in ("train", "test")}
        np.savez(tmp_path / f"{name}.npz", **arrays, **labels)
    return tmp_path


def test_evaluation_has_numbers_and_the_worst_clouds(sources, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert evaluate.main([str(sources["classes"]), "--data", str(data / "whole.npz"), "--out", str(out / "a")]) == 0
    assert evaluate.main([str(sources["parts"]), "--data", str(data / "points.npz"), "--out", str(out / "b")]) == 0
    metrics = json.loads((out / "b" / "metrics.json").read_text())
    model = tfdl.load(sources["parts"])
    with np.load(data / "points.npz") as file:
        found = model.reader.classes(model.outputs(normalized(file["test_points"])))
        assert metrics["metrics"]["accuracy"] == pytest.approx((found == file["test_label"]).mean())
    assert (out / "b" / "mistakes.png").is_file() and metrics["clouds"] == 6
    with pytest.raises(ValueError, match="have one class, and .* does not answer that"):
        evaluate.main([str(sources["parts"]), "--data", str(data / "whole.npz")])


def test_evaluation_of_scenes_is_average_precision(sources, tmp_path):
    assert evaluate.main([str(sources["boxes"]), "--data", "scenes", "--limit", "3", "--out", str(tmp_path / "c")]) == 0
    metrics = json.loads((tmp_path / "c" / "metrics.json").read_text())
    assert set(metrics["metrics"]) == {"bev_ap", "ap_3d", "bev_ap50", "ap_3d_50"} and metrics["objects"] > 2
    assert {path.name for path in (tmp_path / "c").iterdir()} >= {"mistakes.png", "precision_recall.png"}
