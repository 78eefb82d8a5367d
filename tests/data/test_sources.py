import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdl.data import sources
from tfdl.data.images import load

ENCODERS = {"png": tf.io.encode_png, "jpg": tf.io.encode_jpeg}


def make_folder(root, classes=("cat", "dog"), per_class=20, size=(6, 8)):
    """Images of one gray level per class, PNG and JPEG in turn."""
    for level, label in enumerate(classes):
        (root / label).mkdir(parents=True)
        for i in range(per_class):
            suffix = ("png", "jpg")[i % 2]
            image = tf.fill((*size, 3), tf.cast(40 + 100 * level, tf.uint8))
            tf.io.write_file(str(root / label / f"{i}.{suffix}"), ENCODERS[suffix](image))
    return root


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


def test_folder_of_classes_is_split_by_file_name(tmp_path):
    root = make_folder(tmp_path / "photos")
    data = load(f"folder:{root}", image_size=(5, 7), batch_size=50)
    assert data.labels == ("cat", "dog") and data.image_shape == (5, 7, 3) and sum(data.counts.values()) == 40
    for images, labels in data.train.concatenate(data.test):
        levels = np.round(images.numpy().mean((1, 2, 3)) * 255)
        np.testing.assert_allclose(levels, 40 + 100 * labels.numpy(), atol=2)
    before = {
        key: set(split.examples.as_numpy_iterator()) for key, split in sources.open_source(str(root)).splits.items()
    }
    next((root / "cat").glob("*.png")).unlink()
    after = {
        key: set(split.examples.as_numpy_iterator()) for key, split in sources.open_source(str(root)).splits.items()
    }
    assert all(after[key] <= before[key] for key in before)


def test_folder_with_split_folders_keeps_them(tmp_path):
    for part, number in (("train", 10), ("val", 3), ("test", 4)):
        make_folder(tmp_path / part, per_class=number)
    data = load(str(tmp_path), image_size=4)
    assert data.counts == {"train": 20, "validation": 6, "test": 8}


def test_missing_held_out_splits_come_from_the_end_of_train(tmp_path):
    make_folder(tmp_path / "train", per_class=30)
    assert load(str(tmp_path), image_size=4).counts == {"train": 49, "validation": 5, "test": 6}


def test_gray_and_color_are_converted(tmp_path):
    make_folder(tmp_path / "photos")
    assert load(f"folder:{tmp_path / 'photos'}", image_size=4, channels=1).image_shape == (4, 4, 1)
    images, _ = next(iter(load("digits", channels=3, limit=5).test))
    assert images.shape == (5, 8, 8, 3) and (images[..., 0] == images[..., 2]).numpy().all()


def test_bmp_and_gif_are_read(tmp_path):
    make_folder(tmp_path / "train", per_class=11)
    make_folder(tmp_path / "validation", per_class=1)
    for label in ("cat", "dog"):
        (tmp_path / "test" / label).mkdir(parents=True)
        for suffix in ("bmp", "gif"):
            Image.new("RGB", (9, 4), (0, 255, 0)).save(tmp_path / "test" / label / f"green.{suffix}")
    images, _ = next(iter(load(str(tmp_path), image_size=3).test))
    np.testing.assert_allclose(images, np.broadcast_to([0.0, 1.0, 0.0], (4, 3, 3, 3)), atol=0.01)


@pytest.mark.parametrize("cut", [0, 40])
def test_broken_image_is_named(tmp_path, cut):
    root = make_folder(tmp_path / "photos")
    broken = root / "dog" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"dog/3\.jpg cannot be decoded .*; replace or remove it"):
        load(f"folder:{root}", image_size=4)


def test_useless_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        load(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="no sub-folders"):
        load(f"folder:{tmp_path}")
    make_folder(tmp_path, per_class=1)
    with pytest.raises(ValueError, match="no image to the split"):
        load(f"folder:{tmp_path}", image_size=4)
    root = make_folder(tmp_path / "parts" / "train").parent
    make_folder(root / "test", classes=("cat", "cow"))
    with pytest.raises(ValueError, match="the classes cow, which train lacks"):
        load(f"folder:{root}", image_size=4)
    with pytest.raises(ValueError, match="differ in size; give an image_size"):
        load(f"folder:{root / 'train'}")


def test_missing_set_says_where_it_looked_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDL_DATA_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"'mnist' .*{tmp_path}.*TFDL_DATA_DIR.*mnist/.*download=True"):
        load("mnist")
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        load("mnist", data_dir=tmp_path / "absent")


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
        ("omniglot", "splits small1, small2; a split called train"),
        ("clothing_small", "differ in size"),
    ],
)
def test_unfit_sets_are_refused(data_dir, name, words):
    with pytest.raises(ValueError, match=words):
        load(name, data_dir=data_dir)
