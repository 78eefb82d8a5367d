"""Folders of pictures as users have them: every layout is read, nothing is dropped without a word."""

import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdl.data import folders, images, reading

LEVELS = {"cat": 40, "dog": 140, "cow": 240, "train": 90}


def make_folder(root, classes=("cat", "dog"), per_class=20, size=(6, 8), suffixes=("png", "jpg")):
    """Images of one gray level per class, in kinds that take turns."""
    for label in classes:
        (root / label).mkdir(parents=True)
        for i in range(per_class):
            image = Image.new("RGB", size[::-1], (LEVELS[label],) * 3)
            image.save(root / label / f"{i}.{suffixes[i % len(suffixes)]}")
    return root


def names(root, **options):
    """split -> names of its files below `root`"""
    _, splits = folders.read(root, **options)
    return {split: [os.path.relpath(path, root) for path in paths] for split, (paths, _) in splits.items()}


@pytest.fixture(params=["held", "read anew"])
def way(request, monkeypatch):
    if request.param == "read anew":
        monkeypatch.setattr(images, "CACHE_BYTES", 0)
    return request.param


def rows(dataset):
    pairs = list(dataset.as_numpy_iterator())
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


# Reading


def test_each_image_gets_the_label_of_its_folder(tmp_path, way):
    data = images.load(f"folder:{make_folder(tmp_path / 'photos')}", image_size=(5, 7), batch_size=9)
    assert data.labels == ("cat", "dog") and data.image_shape == (5, 7, 3)
    assert data.counts == {"train": 32, "validation": 4, "test": 4}
    for split in ("train", "validation", "test"):
        pixels, labels = rows(getattr(data, split))
        assert len(labels) == data.counts[split]
        np.testing.assert_allclose(np.round(pixels.mean((1, 2, 3)) * 255), 40 + 100 * labels, atol=2)


def test_order_is_the_same_in_memory_and_read_anew(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "photos", size=(3, 3))
    for number, path in enumerate(sorted(root.rglob("*.*"))):
        Image.new("RGB", (3, 3), (number * 5,) * 3).save(path)
    held = images.load(str(root), image_size=3, batch_size=6)
    monkeypatch.setattr(images, "CACHE_BYTES", 0)
    anew = images.load(str(root), image_size=3, batch_size=6)
    assert isinstance(anew.splits["train"], reading.Files) and isinstance(held.splits["train"], reading.Held)
    for data in (held, anew):
        data.position.assign((2, 1))
    for found, expected in zip(rows(anew.train), rows(held.train)):
        np.testing.assert_array_equal(found, expected)
    for data in (held, anew):
        data.position.assign((2, 0))
    assert len(rows(anew.train)[1]) == 32
    np.testing.assert_array_equal(rows(anew.validation)[0], rows(held.validation)[0])


def test_every_kind_is_read_in_upper_case_too(tmp_path):
    kinds = ("webp", "tif", "tiff", "bmp", "gif", "JPG", "JPEG", "PNG")
    make_folder(tmp_path / "train", per_class=8, suffixes=kinds)
    make_folder(tmp_path / "validation", per_class=8, suffixes=kinds)
    make_folder(tmp_path / "test", per_class=8, suffixes=kinds)
    data = images.load(str(tmp_path), image_size=3, batch_size=16)
    assert data.counts == {"train": 16, "validation": 16, "test": 16}
    pixels, labels = rows(data.test)
    np.testing.assert_allclose(pixels.mean((1, 2, 3)) * 255, 40 + 100 * labels, atol=2)


def test_no_python_runs_while_files_are_read_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "CACHE_BYTES", 0)
    data = images.load(str(make_folder(tmp_path / "photos")), image_size=4)
    graph = data.train._as_serialized_graph().numpy()  # what is handed to TensorFlow's runtime
    assert b"DecodeJpeg" in graph and b"PyFunc" not in graph


def test_first_labels_are_mixed(tmp_path):
    _, splits = folders.read(make_folder(tmp_path / "photos", classes=("cat", "cow", "dog")))
    assert set(splits["train"][1][:10]) == {0, 1, 2}


# Layouts


@pytest.mark.parametrize(
    "parts", [("train", "valid", "test"), ("Train", "Val", "Test"), ("TRAINING", "dev", "testing")]
)
def test_split_folders_are_known_by_many_names(tmp_path, parts):
    for part, number in zip(parts, (10, 3, 4)):
        make_folder(tmp_path / part, per_class=number)
    assert {split: len(found) for split, found in names(tmp_path).items()} == {"train": 20, "validation": 6, "test": 8}


def test_folder_called_train_without_folders_inside_is_a_class(tmp_path):
    labels, _ = folders.read(make_folder(tmp_path, classes=("cat", "train")))
    assert labels == ("cat", "train")


def test_missing_splits_are_taken_from_train_with_a_share_of_each_class(tmp_path):
    make_folder(tmp_path / "train", per_class=30)
    make_folder(tmp_path / "test", per_class=7)
    _, splits = folders.read(tmp_path)
    assert [np.bincount(splits[split][1]).tolist() for split in folders.SPLITS] == [[27, 27], [3, 3], [7, 7]]


def test_what_is_skipped_is_counted_and_said(tmp_path, capfd):
    root = make_folder(tmp_path / "photos", per_class=10)
    (root / "cat" / "notes.txt").write_text("x")
    (root / "cat" / "raw.heic").write_text("x")
    (root / "dog" / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (3, 3)).save(root / "dog" / ".ipynb_checkpoints" / "copy.png")
    make_folder(root / "dog" / "__MACOSX", per_class=1)
    (root / "dog" / ".hidden.png").write_text("x")
    (root / "dog" / "folder.png").mkdir()
    (root / "dog" / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (root / "dog" / "around").symlink_to(root, target_is_directory=True)
    os.mkfifo(root / "dog" / "pipe.png")
    (root / "empty").mkdir()
    labels, splits = folders.read(root)
    assert labels == ("cat", "dog") and sum(len(paths) for paths, _ in splits.values()) == 20
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "2 files of other kinds (1 .heic, 1 .txt)" in said or "2 files of other kinds (1 .txt, 1 .heic)" in said
    assert "3 hidden; 3 pipes or links that lead to no file; class folders without an image (empty)." in said


def test_nothing_is_said_where_nothing_is_skipped(tmp_path, capfd):
    folders.read(make_folder(tmp_path / "photos"))
    assert not capfd.readouterr().err


def test_useless_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        images.load(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="no sub-folders"):
        images.load(f"folder:{tmp_path}")
    make_folder(tmp_path, per_class=1)
    with pytest.raises(ValueError, match="no image to the split 'test'; add images"):
        images.load(f"folder:{tmp_path}", image_size=4)
    root = make_folder(tmp_path / "parts" / "train").parent
    make_folder(root / "test", classes=("cat", "cow"), per_class=1)
    with pytest.raises(ValueError, match="the classes cow, which train lacks"):
        images.load(f"folder:{root}", image_size=4)
    with pytest.raises(ValueError, match="differ in size; give an image_size"):
        images.load(f"folder:{root / 'train'}")
    make_folder(root / "Test", classes=("cat",), per_class=1)
    with pytest.raises(ValueError, match="Test and test .* mean the same split"):
        images.load(f"folder:{root}", image_size=4)
    flat = tmp_path / "flat"
    for part in ("train", "test"):
        (flat / part).mkdir(parents=True)
    with pytest.raises(ValueError, match="test, train in .* no class sub-folders"):
        folders.read(flat)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"test_fraction": 0.0}, "test_fraction is 0.0"),
        ({"validation_fraction": 0.6, "test_fraction": 0.5}, "make 1.1 of"),
    ],
)
def test_fractions_out_of_range_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        folders.read(make_folder(tmp_path / "photos"), **options)


def test_fraction_of_a_given_split_is_refused(tmp_path):
    for part in ("train", "test"):
        make_folder(tmp_path / part)
    with pytest.raises(ValueError, match="already has the split 'test'; leave out test_fraction"):
        folders.read(tmp_path, test_fraction=0.2)
    with pytest.raises(ValueError, match="'digits' already has the split 'test'; leave out test_fraction"):
        images.load("digits", test_fraction=0.2)


# Splits


def dealt(counts, **options):
    """split -> set of (class, number) for so many images of each class"""
    rows = [("", f"{label}/{number}.jpg", label) for label, count in enumerate(counts) for number in range(count)]
    fractions = {"test": 0.1, "validation": 0.1} | options.pop("fractions", {})
    return {split: {row[1] for row in found} for split, found in folders.dealt(rows, fractions, **options).items()}


@pytest.mark.parametrize("count", [3, 4, 10, 20, 25, 100])
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_every_class_has_its_share_in_every_split(count, seed):
    splits = dealt([count] * 5, seed=seed)
    for label in range(5):
        for split in ("validation", "test"):
            found = sum(name.startswith(f"{label}/") for name in splits[split])
            assert max(1, count // 10) <= found <= max(1, -(-count // 10))
    assert sum(map(len, splits.values())) == len(set.union(*splits.values())) == 5 * count


def test_large_classes_keep_every_image_in_its_split_when_others_come():
    before, after = dealt([20_000], seed=0), dealt([25_000], seed=0)
    for split, found in before.items():
        assert found <= after[split]
    assert abs(len(before["test"]) - 2000) <= 100


def test_one_more_image_moves_few_others():
    before = dealt([40] * 3, seed=0)
    moved = []
    for count in range(41, 61):
        after = dealt([count] * 3, seed=0)
        moved.append(sum(len(found - after[split]) for split, found in before.items()))
        before = after
    assert max(moved) <= 3 * 3 and np.mean(moved) < 1.5  # each of three classes


def test_another_seed_makes_other_splits():
    assert dealt([50], seed=0)["test"] != dealt([50], seed=1)["test"]


def test_fractions_are_arguments(tmp_path):
    root = make_folder(tmp_path / "photos")
    found = names(root, validation_fraction=0.2, test_fraction=0.3, split_seed=5)
    assert {split: len(paths) for split, paths in found.items()} == {"train": 20, "validation": 8, "test": 12}
    data = images.load(str(root), image_size=3, validation_fraction=0.2, test_fraction=0.3)
    assert data.counts == {"train": 20, "validation": 8, "test": 12}
    assert images.load("digits", limit=9).counts == {"train": 9, "validation": 9, "test": 9}


# Broken files


def cut(path, bytes_left):
    path.write_bytes(path.read_bytes()[:bytes_left])


@pytest.mark.parametrize("left, why", [(0, "it is empty"), (40, "JPEG data is damaged or truncated")])
def test_broken_image_is_named_with_the_reason(tmp_path, left, why):
    root = make_folder(tmp_path / "photos")
    cut(root / "dog" / "3.jpg", left)
    with pytest.raises(ValueError, match=rf"dog/3\.jpg cannot be decoded \(.*{why}\); replace or remove it, or leave"):
        images.load(f"folder:{root}", image_size=4)


@pytest.mark.parametrize("broken", ["train", "validation"])
@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_broken_image_is_named_where_it_is_read_anew(tmp_path, monkeypatch, broken, batch_size):
    monkeypatch.setattr(images, "CACHE_BYTES", 0)
    root = make_folder(tmp_path / "photos")
    data = images.load(str(root), image_size=4, batch_size=batch_size)
    path = data.splits[broken].paths[-1]
    open(path, "wb").close()
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"The image file {path} cannot be decoded; replace"):
        rows(getattr(data, broken))


def test_broken_images_can_be_left_out(tmp_path, way, capfd):
    root = make_folder(tmp_path / "photos")
    cut(root / "dog" / "3.jpg", 40)
    cut(root / "cat" / "0.png", 0)
    data = images.load(str(root), image_size=4, skip_broken=True)
    assert sorted(path[-9:] for path in data.broken) == ["cat/0.png", "dog/3.jpg"]
    assert sum(data.counts.values()) == 38
    assert sum(len(rows(getattr(data, split))[1]) for split in data.counts) == 38
    said = capfd.readouterr().err
    assert "left out 2 broken files" in said and "dog/3.jpg" in said


def test_damaged_image_that_can_be_decoded_is_named(tmp_path, capfd):
    root = make_folder(tmp_path / "photos")
    path = root / "cat" / "1.jpg"
    gradient = np.add.outer(np.arange(200), np.arange(300)) % 256
    Image.fromarray(gradient.astype("uint8")).save(path, quality=90)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(middle, middle + 40):
        content[place] = (content[place] * 7 + 13) % 256
    path.write_bytes(content)
    assert sum(images.load(str(root), image_size=4).counts.values()) == 40
    said = capfd.readouterr().err
    assert "damaged, but read" in said and "cat/1.jpg" in said and "dog" not in said
