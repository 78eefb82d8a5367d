"""Segmentation data: masks follow their pictures everywhere; folders, prepared sets, and what is wrong with them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdl.core import batches
from tfdl.core.batches import IGNORE
from tfdl.data import mask_augment
from tfdl.data.segmentation import load
from tfdl.data.shapes import SHAPES, shape_masks, shapes

COLORS = np.array([[10, 10, 10], [250, 20, 20], [20, 20, 250]], "uint8")  # of the classes 0, 1, 2


def folder_of(tmp_path, count=5, size=(20, 30), split=""):
    """Pictures whose color is their class."""
    rng = np.random.default_rng(0)
    for i in range(count):
        mask = np.zeros(size, "uint8")
        y, x = rng.integers(0, 8, 2)
        mask[y : y + 8, x : x + 12] = 1 + i % 2
        for kind, pixels in (("images", COLORS[mask]), ("masks", mask)):
            place = tmp_path / kind / split
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{i}.png")
    return tmp_path


def check_together(images, masks):
    """Every known pixel has the color of its class, but for borders."""
    nearest = np.abs(images[..., None, :] - COLORS / 255).sum(-1).argmin(-1)
    known = masks != IGNORE
    assert (nearest == masks)[known].mean() > 0.9
    assert set(np.unique(masks[known])) <= {0, 1, 2}


@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_masks_lie_on_their_pictures(resize, tmp_path):
    data = load(f"folder:{folder_of(tmp_path)}", image_size=(32, 32), batch_size=2, resize=resize)
    assert data.counts == {"train": 3, "validation": 1, "test": 1} and data.labels == ("0", "1", "2")
    for split in (data.train, data.validation, data.test):
        for images, masks in split:
            batches.check("segmentation", images, masks)
            check_together(images.numpy(), masks.numpy())
            assert (masks.numpy() == IGNORE).any() == (resize == "pad")


@pytest.mark.parametrize("augment", [mask_augment.random_flip(), mask_augment.random_affine(0.3, 0.2)])
def test_augmentation_moves_both_and_is_a_function_of_the_seed(augment, tmp_path):
    data = load(f"folder:{folder_of(tmp_path)}", image_size=(40, 60), batch_size=3)
    images, masks = next(iter(data.train))
    seed = tf.constant([3, 1], tf.int64)
    new, moved = augment(images, masks, seed)
    check_together(new.numpy(), moved.numpy())
    again = augment(images, masks, seed)
    np.testing.assert_array_equal(moved, again[1])
    assert any(not np.array_equal(moved, augment(images, masks, tf.constant([n, 1], tf.int64))[1]) for n in range(4))


def test_an_epoch_may_begin_anywhere(tmp_path):
    folder = folder_of(tmp_path, count=8)

    def epoch(step):
        position = tf.Variable([1, step], dtype=tf.int64)
        augment = mask_augment.chain(mask_augment.random_flip(), mask_augment.random_affine())
        data = load(f"folder:{folder}", image_size=32, batch_size=2, position=position, augment=augment)
        return [tf.nest.map_structure(lambda t: t.numpy(), batch) for batch in data.train]

    whole, rest = epoch(0), epoch(2)
    assert len(whole) == 3 and len(rest) == 1
    tf.nest.map_structure(np.testing.assert_array_equal, whole[2], rest[0])


def test_splits_and_names_of_a_folder(tmp_path):
    folder_of(tmp_path, split="train")
    folder_of(tmp_path, count=3, split="val")
    folder_of(tmp_path, count=2, split="test")
    (tmp_path / "labels.txt").write_text("ground\ncat\ndog\n")
    data = load(str(tmp_path), image_size=32)
    assert data.counts == {"train": 5, "validation": 3, "test": 2} and data.labels == ("ground", "cat", "dog")
    assert data.task.kind == "segmentation" and data.short_name == tmp_path.name


def test_mistakes_are_named(tmp_path):
    folder_of(tmp_path)
    (tmp_path / "masks" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1.png has no mask .*masks/1.png"):
        load(str(tmp_path), image_size=32)
    Image.fromarray(np.zeros((9, 9), "uint8")).save(tmp_path / "masks" / "1.png")
    with pytest.raises(ValueError, match=r"a mask has not its picture.*prepare the set anew"):
        load(str(tmp_path), image_size=32)
    with pytest.raises(FileNotFoundError, match="needs the folders images and masks"):
        load(f"folder:{tmp_path / 'images'}", image_size=32)
    with pytest.raises(ValueError, match="resize is 'crop'"):
        load("shapes", image_size=32, resize="crop")


def test_masks_of_shapes_have_their_boxes():
    _, boxes, labels, _ = shapes({"test": 6}, size=48)["test"]
    _, masks = shape_masks({"test": 6}, size=48)["test"]
    for own, numbers, mask in zip(boxes, labels, masks):
        assert set(np.unique(mask)) <= {*numbers, len(SHAPES)}
        for (x1, y1, x2, y2), number in zip(own.astype(int), numbers):
            assert (mask[y1:y2, x1:x2] == number).any()


@pytest.mark.data
def test_camvid_has_its_classes_and_ignores_void(data_dir):
    data = load("camvid", image_size=(48, 64), data_dir=data_dir, limit=6)
    assert data.num_classes == 11 and data.labels[3] == "road"
    masks = np.concatenate([masks.numpy() for _, masks in data.test])
    assert masks.max() == IGNORE and (masks[masks != IGNORE] < 11).all()
    pets = load("oxford_pet_mini", image_size=32, data_dir=data_dir, limit=4)
    assert pets.labels == ("pet", "background", "border")
    with pytest.raises(ValueError, match="for segmentation it needs 'image' and 'segmentation_mask'"):
        load("mnist", image_size=32, data_dir=data_dir)
