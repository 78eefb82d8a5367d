import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import forked
from tfdl.core import pictures
from tfdl.core.batches import check
from tfdl.data import images as images_module
from tfdl.data import reading, sources
from tfdl.data.augment import chain, random_brightness, random_shift
from tfdl.data.embedded import EMBEDDED
from tfdl.data.images import load
from tfdl.data.mixing import cutmix, mixup
from tfdl.data.order import Order, permutation

AUGMENT = chain(random_shift(1), random_brightness(0.3))


def digits(**arguments):
    return load("digits", **({"batch_size": 16, "limit": 50, "augment": AUGMENT} | arguments))


def batches(dataset):
    return list(dataset.as_numpy_iterator())


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)
    )


@pytest.fixture(params=["cached", "streamed"])
def way(request, monkeypatch):
    """Both ways of reading: from memory, and decoding anew."""
    if request.param == "streamed":
        monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    return request.param


def test_batches_keep_the_contract(way):
    data = digits()
    for dataset in (data.train, data.validation, data.test):
        assert int(dataset.cardinality()) == 4
        assert [len(labels) for _, labels in dataset] == [16, 16, 16, 2]
        for images, labels in dataset:
            check("classification", images, labels)
    assert data.num_classes == 10 and data.labels[3] == "3" and data.image_shape == (8, 8, 1)


def test_every_epoch_has_every_image_once(way):
    data = digits(augment=None)
    stored = sorted(row.tobytes() for images, _ in batches(digits(augment=None, seed=7).train) for row in images)
    for _ in range(3):
        assert sorted(row.tobytes() for images, _ in batches(data.train) for row in images) == stored


def test_two_loads_with_one_seed_give_equal_bits(way):
    first, second, other = digits(), digits(), digits(seed=1)
    for _ in range(2):
        rows = batches(first.train)
        assert same(rows, batches(second.train))
        assert not same(rows, batches(other.train))


def test_epochs_differ_unless_the_position_is_set(way):
    data = digits()
    first, second = batches(data.train), batches(data.train)
    assert not same(first, second)
    data.position.assign([0, 0])
    assert same(first, batches(data.train)) and same(first, batches(data.train))


def test_epoch_3_step_2_is_the_same_however_it_is_reached(way):
    walked = digits()
    for _ in range(4):
        rows = batches(walked.train)
    jumped = digits(position=tf.Variable([3, 2], dtype=tf.int64))
    assert same(batches(jumped.train), rows[2:])
    jumped.position.assign([2, 4 + 2])  # a step past the end of epoch 2
    assert same(batches(jumped.train), rows[2:])


def test_reading_ahead_does_not_move_the_position(way):
    data = digits()
    data.position.assign([1, 0])
    stale = iter(data.train)
    next(stale)
    assert data.position.numpy().tolist() == [1, 0]
    expected = batches(data.train)
    data.position.assign([1, 2])
    assert same(batches(data.train), expected[2:])


def test_augmentation_differs_by_step_and_repeats_by_position():
    seen = []

    def augment(images, seed):
        tf.py_function(lambda s: seen.append(tuple(s.numpy())), [seed], [])
        return images

    data = digits(augment=augment)

    def seeds_from(epoch, step):
        seen.clear()
        data.position.assign([epoch, step])
        batches(data.train)
        return set(seen)  # several batches are made at once, so they are noted in any order

    first, second = seeds_from(0, 0), seeds_from(1, 0)
    assert len(first) == len(second) == 4 and not first & second
    assert seeds_from(0, 0) == first
    assert len(seeds_from(1, 3)) == 1 and seeds_from(1, 3) < second


def test_held_out_images_are_never_augmented_nor_shuffled(way):
    data = digits()
    assert same(batches(data.test), batches(data.test)) and same(batches(data.test), batches(digits(augment=None).test))


def test_shards_together_are_the_global_batch(way, count=3):
    whole = digits()
    parts = [digits(shard=(index, count)) for index in range(count)]
    for split in ("train", "test"):
        expected = batches(getattr(whole, split))
        found = [batches(getattr(part, split)) for part in parts]
        assert {len(rows) for rows in found} == {4}
        joined = [
            tuple(np.concatenate(fields) for fields in zip(*step, strict=True)) for step in zip(*found, strict=True)
        ]
        assert same(joined, expected)
    sizes = [len(part[-1][1]) for part in found]  # 2 images among the shards
    assert sum(sizes) == 2 and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "way, mix", [("cached", mixup()), ("streamed", cutmix())], ids=["cached", "streamed"], indirect=["way"]
)
def test_mixed_batches_are_the_same_however_they_are_reached_and_shared(way, mix, count=2):
    data = digits(mix=mix)
    data.position.assign([2, 0])
    rows = batches(data.train)
    jumped = digits(mix=mix, position=tf.Variable([2, 1], dtype=tf.int64))
    assert same(batches(jumped.train), rows[1:])
    parts = []
    for index in range(count):
        part = digits(mix=mix, shard=(index, count))
        part.position.assign([2, 0])
        parts.append(batches(part.train))
    joined = [tuple(np.concatenate(fields) for fields in zip(*step, strict=True)) for step in zip(*parts, strict=True)]
    assert same(joined, rows)


def test_mixed_labels_are_probabilities_and_held_out_ones_certain(way):
    data, plain = digits(mix=mixup(0.5)), digits()
    soft = np.concatenate([labels for _, labels in batches(data.train)])
    assert soft.shape == (50, 10) and soft.dtype == np.float32
    np.testing.assert_allclose(soft.sum(-1), 1, atol=1e-6)
    assert (soft.max(-1) < 0.99).sum() > 5
    for split in ("validation", "test"):
        for (images, labels), (same_images, numbers) in zip(*(batches(getattr(d, split)) for d in (data, plain))):
            assert labels.dtype == np.float32
            np.testing.assert_array_equal(labels, np.eye(10)[numbers])
            np.testing.assert_array_equal(images, same_images)


def test_mixing_draws_other_numbers_than_augmentation():
    seen = []

    def note(name):
        def change(images, *labels_and_seed):
            tf.py_function(lambda s: seen.append((name, tuple(s.numpy()))), [labels_and_seed[-1]], [])
            return (images, *labels_and_seed[:-1]) if len(labels_and_seed) == 2 else images

        return change

    batches(digits(augment=note("augment"), mix=note("mix")).train)
    assert len(seen) == 8 and len({seed for _, seed in seen}) == 8


def test_kept_share_is_the_first_of_its_class():
    whole, data = digits(augment=None, limit=None), digits(augment=None, limit=None, keep={3: 0.1, 7: 1.0, 9: 0.001})
    images, labels = (np.concatenate(x) for x in zip(*batches(whole.train), strict=True))
    found, classes = (np.concatenate(x) for x in zip(*batches(data.train), strict=True))
    expected = np.bincount(labels, minlength=10)
    expected[3], expected[9] = -(-expected[3] // 10), 1
    np.testing.assert_array_equal(np.bincount(classes, minlength=10), expected)
    assert data.counts["train"] == len(found) == expected.sum() and data.train.cardinality() == -(-len(found) // 16)
    assert data.counts["test"] == whole.counts["test"] and same(batches(data.test), batches(whole.test))
    stored = EMBEDDED["digits"]()[0]["train"]
    threes = stored[0][stored[1] == 3][: expected[3]].astype("float32") / 255
    assert {i.tobytes() for i in threes} == {i.tobytes() for i in found[classes == 3]}
    data.position.assign([1, 4])
    again = digits(augment=None, limit=None, keep={3: 0.1, 9: 0.001}, position=tf.Variable([1, 4], dtype=tf.int64))
    assert same(batches(data.train), batches(again.train))


def test_one_number_keeps_that_share_of_every_class():
    same_share = digits(augment=None, keep=0.3)
    assert same(batches(same_share.train), batches(digits(augment=None, keep=dict.fromkeys(range(10), 0.3)).train))
    assert same_share.counts["train"] < 0.5 * digits().counts["train"]


def test_chosen_classes_are_numbered_anew_in_every_split():
    whole, data = digits(augment=None, limit=None), digits(augment=None, limit=None, classes=(7, 2))
    assert data.labels == ("7", "2") and data.num_classes == 2
    for split in ("train", "validation", "test"):
        images, labels = (np.concatenate(x) for x in zip(*batches(getattr(whole, split)), strict=True))
        found, places = (np.concatenate(x) for x in zip(*batches(getattr(data, split)), strict=True))
        assert data.counts[split] == len(places) and places.dtype == np.int32
        for place, number in enumerate((7, 2)):
            expected = sorted(i.tobytes() for i in images[labels == number])
            assert sorted(i.tobytes() for i in found[places == place]) == expected
    few = digits(augment=None, limit=None, classes=range(5, 10), keep={2: 0.1})  # of the class that is 2 now: sevens
    counts = np.bincount(np.concatenate([y for _, y in batches(few.train)]))
    sevens = sum((y == 0).sum() for _, y in batches(data.train))
    assert len(counts) == 5 and counts[2] == min(counts) == -(-sevens // 10)


def test_mixed_labels_of_chosen_classes_have_their_number():
    images, labels = next(iter(digits(classes=(3, 4, 5), mix=mixup(0.5)).train))
    assert labels.shape[-1] == 3


@pytest.mark.parametrize("option, value", [("keep", {0: 0.5}), ("classes", (0, 1))])
def test_choosing_from_a_streamed_set_is_refused(monkeypatch, option, value):
    monkeypatch.setattr(images_module, "CACHE_BYTES", 0)
    with pytest.raises(ValueError, match=f"{option} needs 'digits' in memory"):
        digits(**{option: value})


def test_classes_without_an_image_are_named():
    with pytest.raises(ValueError, match=r"No image of 'digits', split train, is of the classes \[9\]; raise"):
        digits(limit=3, classes=[9])


def test_permutations_of_neighboring_epochs_have_nothing_in_common():
    orders = np.stack([permutation((0, epoch), 5000) for epoch in range(4)] + [permutation((1, 0), 5000)])
    assert (np.sort(orders) == np.arange(5000)).all()
    correlation = np.corrcoef(np.concatenate([orders, np.arange(5000)[None]]))
    assert np.abs(correlation - np.eye(6)).max() < 0.06


def test_order_does_not_depend_on_the_global_seed(way):
    keras.utils.set_random_seed(1)
    first = batches(digits().train)
    keras.utils.set_random_seed(2)
    assert same(first, batches(digits().train))


def test_resizing_keeps_flat_images_flat():
    image = tf.fill((7, 5, 3), tf.constant(200, tf.uint8))
    out = pictures.resize(image, (16, 4, 1))
    assert out.shape == (16, 4, 1) and set(np.unique(out)) == {200}


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"channels": 2}, "channels is 2; give 1, 3"),
        ({"limit": 0}, "limit is 0"),
        ({"image_size": 0}, "image_size is 0"),
        ({"keep": {10: 0.5}}, "keep names the class 10; the classes are 0 to 9"),
        ({"keep": {2: 0.5}, "classes": (5, 6)}, "keep names the class 2; the classes are 0 to 1"),
        ({"classes": (3, 10)}, "classes names the class 10; the classes are 0 to 9"),
        ({"classes": (3, 3)}, r"classes is \[3, 3\]; give each class number once"),
        ({"classes": ()}, r"classes is \[\]; .* at least one"),
        ({"keep": 0.0}, "keep is 0.0 for class 0"),
        ({"keep": {0: 0.0}}, "keep is 0.0 for class 0"),
        ({"keep": {0: 1.5}}, "keep is 1.5 for class 0"),
        ({"shard": (2, 2)}, "index < count"),
        ({"position": tf.Variable([0, 0])}, "int64 variable"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        digits(**arguments)


def test_load_inside_a_scope_is_refused():
    with tf.distribute.OneDeviceStrategy("CPU:0").scope(), pytest.raises(ValueError, match="before the scope"):
        digits()


class StartAt(keras.callbacks.Callback):
    """Says the position before each epoch; the first one is entered at `step`."""

    def __init__(self, position, epoch=0, step=0):
        super().__init__()
        self.position, self.first, self.seen = position, (epoch, step), []

    def on_epoch_begin(self, epoch, logs=None):
        self.position.assign((epoch, self.first[1] if epoch == self.first[0] else 0))

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.get_weights())


def linear():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax", kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    return model


def test_fit_resumed_in_the_middle_of_an_epoch_ends_with_the_same_weights(way):
    data = digits()
    whole, model = StartAt(data.position), linear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(data.train, epochs=3, verbose=0, shuffle=False, callbacks=[whole], validation_data=data.validation)
    assert len(whole.seen) == 12
    data, resumed = digits(), linear()
    resumed.set_weights(whole.seen[6])  # after step 2 of epoch 1
    again = StartAt(data.position, epoch=1, step=3)
    with pytest.warns(UserWarning, match="ran out of data"):  # the rest of epoch 1 is shorter than its cardinality
        resumed.fit(data.train, initial_epoch=1, epochs=3, verbose=0, shuffle=False, callbacks=[again])
    assert len(again.seen) == 5
    for resumed_weight, weight in zip(resumed.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(resumed_weight, weight)


MIRRORED = """
import sys
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tests.data.test_images import StartAt, digits, linear
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
data, single = digits(limit=48), digits(limit=48)
for epoch, step in ((0, 0), (2, 1)):
    data.position.assign([epoch, step]); single.position.assign([epoch, step])
    expected = list(single.train)
    found = list(strategy.experimental_distribute_dataset(data.train))
    assert len(expected) == len(found) == 3 - step
    for (x, y), (replicas_x, replicas_y) in zip(expected, found):
        local = strategy.experimental_local_results
        assert len(local(replicas_y)) == 2
        assert np.array_equal(np.concatenate(local(replicas_x)), x)
        assert np.array_equal(np.concatenate(local(replicas_y)), y)
with strategy.scope():
    mirrored = linear()
always = {"epochs": 3, "verbose": 0, "shuffle": False}
mirrored.fit(data.train, callbacks=[StartAt(data.position)], validation_data=data.validation, **always)
one = linear()
one.fit(single.train, callbacks=[StartAt(single.position)], **always)
difference = max(np.abs(a - b).max() for a, b in zip(mirrored.get_weights(), one.get_weights()))
assert difference < 1e-6, difference
with strategy.scope():
    plain = linear()
plain.fit(digits(limit=48).train, epochs=2, verbose=0, shuffle=False)
print("right")
"""


def test_two_mirrored_devices_see_the_batches_of_one():
    done = forked.code(MIRRORED)
    assert done.stdout.strip() == "right", done.stderr[-2000:]


# Classes of unequal size


def unequal(**options):
    return load("digits", batch_size=50, keep={0: 0.1, 1: 0.3}, **options)


def labels_of(data):
    return np.concatenate([labels for _, labels in data.train.as_numpy_iterator()])


def test_balanced_epochs_draw_each_class_equally_often_and_differ():
    data = unequal(balanced=True)
    first, second = labels_of(data), labels_of(data)
    assert len(first) == data.counts["train"]
    for epoch in (first, second):
        counts = np.bincount(epoch)
        assert counts.max() - counts.min() <= 1
    assert (first != second).any()


def test_balanced_epoch_shows_all_images_of_a_rare_class():
    data = unequal(balanced=True)
    drawn = np.concatenate([x[y == 0] for x, y in data.train.as_numpy_iterator()])
    assert len(np.unique(drawn.reshape(len(drawn), -1), axis=0)) == data.class_counts["train"][0]


def test_balanced_epoch_goes_on_in_its_middle():
    data = unequal(balanced=True)
    data.position.assign((4, 0))
    whole = labels_of(data)
    data.position.assign((4, 3))
    np.testing.assert_array_equal(labels_of(data), whole[150:])


def test_class_weights_make_classes_count_the_same():
    data = unequal()
    counts, weights = data.class_counts["train"], data.class_weights()
    np.testing.assert_allclose([counts[number] * weights[number] for number in range(10)], counts.sum() / 10)


def test_a_run_gives_seed_position_and_limit():
    class Run:
        seed, limit, position = 3, 70, tf.Variable((2, 1), dtype=tf.int64)

    data = load("digits", batch_size=50, run=Run)
    assert data.position is Run.position and data.counts["train"] == 70
    expected = load("digits", batch_size=50, seed=3, limit=70, position=Run.position)
    np.testing.assert_array_equal(labels_of(data), labels_of(expected))


# Records, which are shuffled in windows


def test_each_window_has_an_order_of_its_own():
    stored = tf.data.Dataset.range(40).map(lambda number: (number, tf.cast(number, tf.int32)))
    records = reading.Records(stored, 40, lambda number: tf.cast(tf.reshape(number, (1, 1, 1)), tf.uint8), window=10)
    order = Order.start(seed=0, batch_size=8, count=40)
    labels = np.concatenate([labels for _, labels, _ in records.train(order).as_numpy_iterator()])
    windows = labels.reshape(4, 10) - np.arange(0, 40, 10)[:, None]
    assert (np.sort(windows) == np.arange(10)).all()
    assert len({tuple(window) for window in windows}) == 4
    np.testing.assert_array_equal(records.labels, np.arange(40))


def test_a_set_in_memory_is_there_once(monkeypatch):
    copies, constant = [], tf.constant

    def noted(value, *arguments, **options):
        copies.append(np.size(value))
        return constant(value, *arguments, **options)

    monkeypatch.setattr(tf, "constant", noted)
    data = digits(limit=None)
    assert data.splits["train"].images.shape == (1266, 8, 8, 1)
    assert max(copies) <= 1266  # labels and rows, no pixels
    list(data.train)


def test_name_for_folders_of_runs_has_no_path_and_no_version(tmp_path):
    names = {"mnist": "mnist", "mnist:3.0.1": "mnist", "text/en": "text-en", "digits": "digits"}
    (tmp_path / "my photos").mkdir()
    names |= {f"folder:{tmp_path}/my photos": "my-photos", f"{tmp_path}/my photos/": "my-photos"}
    for name, expected in names.items():
        assert sources.short_name(name) == expected
    assert digits().short_name == "digits"


def test_task_says_how_input_is_prepared():
    data = digits(resize="crop", image_size=6)
    assert data.task.labels == data.labels and data.task.image_shape == (6, 6, 1) and data.task.resize == "crop"


def test_run_beside_a_seed_is_refused():
    with pytest.raises(ValueError, match="so leave them out"):
        digits(run=object(), seed=3)
