import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import sources
from tfdl.data.images import load


def test_digits_are_split_by_class_without_overlap():
    source = sources.open_source("digits")
    rows = {key: list(split.examples.as_numpy_iterator()) for key, split in source.splits.items()}
    assert {key: len(value) for key, value in rows.items()} == {"train": 1266, "validation": 178, "test": 353}
    shares = {key: np.bincount([label for _, label in value]) / len(value) for key, value in rows.items()}
    assert np.abs(np.stack(list(shares.values())) - 0.1).max() < 0.01
    prints = [image.tobytes() for value in rows.values() for image, _ in value]
    assert len(set(prints)) == len(prints) == 1797
    pixels = np.stack([image for image, _ in rows["train"]])
    assert pixels.shape == (1266, 8, 8, 1) and pixels.min() == 0 and pixels.max() == 255


def test_gray_becomes_color():
    images, _ = next(iter(load("digits", channels=3, limit=5).test))
    assert images.shape == (5, 8, 8, 3) and (images[..., 0] == images[..., 2]).numpy().all()


def test_missing_set_says_where_it_looked_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDL_DATA_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"'mnist' .*{tmp_path}.*TFDL_DATA_DIR.*mnist/.*download=True"):
        load("mnist")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load("mnist", data_dir=tmp_path / "absent")


@pytest.mark.parametrize("value, allowed", [(None, False), ("", False), ("0", False), ("1", True)])
def test_download_takes_a_1(monkeypatch, value, allowed):
    monkeypatch.setattr(sources, "tfds_source", lambda name, folder, download: download)
    monkeypatch.delenv("TFDL_DOWNLOAD", raising=False)
    if value is not None:
        monkeypatch.setenv("TFDL_DOWNLOAD", value)
    assert sources.open_source("mnist") is allowed
    assert sources.open_source("mnist", download=True) is True


def test_damaged_info_is_named(tmp_path):
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").write_text("{")
    with pytest.raises(ValueError, match=r"The dataset_info\.json of 'mnist' in .* is damaged .*copy the set again"):
        sources.open_source("mnist", tmp_path)


def test_unknown_name_gets_the_nearest_ones(tmp_path):
    for path in ("mnist/1.0.0", "fashion/1.0.0", "text/en/1.0.0", "zebras/1.0.0"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "dataset_info.json").write_text("{}")
    assert sources.names_in(tmp_path) == ["fashion", "mnist", "text/en", "zebras"]
    with pytest.raises(ValueError, match="nearest names are mnist, digits, "):
        load("mnits", data_dir=tmp_path)


def test_data_dir_follows_the_environment(monkeypatch):
    monkeypatch.setenv("TFDL_DATA_DIR", "~/sets")
    assert sources.data_dir() == pathlib.Path.home() / "sets"
    monkeypatch.delenv("TFDL_DATA_DIR")
    assert sources.data_dir().name == "tensorflow_datasets"


@pytest.mark.data
@pytest.mark.parametrize(
    "name, size, shape, counts",
    [
        ("mnist", None, (28, 28, 1), (54000, 6000, 10000)),
        ("cifar10", None, (32, 32, 3), (45000, 5000, 10000)),
        ("clothing_small", (24, 20), (24, 20, 3), (3068, 341, 372)),
    ],
)
def test_prepared_sets_load_offline(data_dir, name, size, shape, counts):
    source = sources.open_source(name, data_dir)
    assert len(source.labels) == 10
    limited = load(name, data_dir=data_dir, image_size=size, limit=70, batch_size=64)
    assert limited.counts == {"train": 70, "validation": 70, "test": 70} and limited.image_shape == shape
    for split in (limited.train, limited.validation, limited.test):
        sizes = [(images.shape, labels.dtype) for images, labels in split]
        assert sizes == [((64, *shape), tf.int32), ((6, *shape), tf.int32)]
    stored = {key: split.count for key, split in source.splits.items()}
    assert stored["test"] == counts[2] and stored["train"] in (counts[0], counts[0] + counts[1])


@pytest.mark.data
@pytest.mark.parametrize(
    "name, words",
    [
        ("coco_mini", "'coco_mini' has the features .*'label'"),
        ("tiny_shakespeare", "has the features text"),
        ("omniglot", "splits small1, small2; it needs a split called train"),
        ("clothing_small", "differ in size"),
    ],
)
def test_unfit_sets_are_refused(data_dir, name, words):
    with pytest.raises(ValueError, match=words):
        load(name, data_dir=data_dir)


def test_folder_beside_the_user_needs_no_prefix_unless_a_set_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my_photos", "mnist"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="my_photos"):  # found, and without classes
        sources.open_source("my_photos", data_dir=tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="TFDL_DATA_DIR"):
        sources.open_source("mnist", data_dir=tmp_path / "none")
