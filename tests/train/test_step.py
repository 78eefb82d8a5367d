"""One device, two devices, two workers and accumulation end with the same weights and logs."""

import functools
import json
import math
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import forked
from tfdl.core import gradients
from tfdl.distribution.local_cluster import free_ports
from tfdl.train.replicas import global_moments
from tfdl.train.step import check_optimizer, check_steps, exact

# In batches of 15.  31: a last batch of 1, so that one replica (and two of three micro-batches) get none; 37: a last
# batch of 7, that is of 4 and 3 on two replicas.  A model's first batch is an odd one: it cannot be halved.
CASES = {
    "1,sgd,37,1,validated": ["2,sgd,37,1,validated"],
    "1,sgd,31,1": ["2,sgd,31,3"],
    "1,adamw,31,1,norm,fresh": ["2,adamw,31,1,norm,fresh"],
    "1,adamw,37,1,rates": ["2,adamw,37,1,rates", "1,adamw,37,3,rates"],
    "1,ema,31,1,norm,frozen": ["2,ema,31,1,norm,frozen"],
    "1,schedule,37,1": ["1,schedule,37,3"],
    "1,adamw,37,1,players": ["2,adamw,37,1,players"],
    "1,sgd,37,1,unbuilt": ["2,sgd,37,1,unbuilt"],
    "1,sgd,37,1,several": ["2,sgd,37,1,several", "1,sgd,37,2,several", "2,sgd,37,2,several"],
    "1,still,37,1,norm,refreshed": ["2,still,37,1,norm,refreshed", "1,still,37,3,norm,refreshed"],
}
OTHERS = [
    "1,sgd,37,1,several,stock",
    "1,adamw,37,1",
    "2,sgd,31,3,norm",
    "1,sgd,37,1,float16,infinite,norm",
    "2,sgd,37,1,float16,infinite,norm",
    "1,sgd,37,1,dropout",
    "2,sgd,37,1,dropout",
    "2,sgd,37,1,stock",
]


# The same on two worker processes, and on three, which no batch divides evenly.
ON_WORKERS = {
    2: ["2,sgd,31,3", "2,sgd,37,1,validated", "2,adamw,37,1,players", "2,sgd,37,1,several", "2,adamw,31,1,norm,fresh"]
    + ["2,sgd,31,3,norm", "2,sgd,37,1,float16,infinite,norm"],
    3: ["3,adamw,31,1,norm,fresh", "3,sgd,31,1"],
}


def start(path, cases, **environment):
    """One process that trains `cases`."""
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}  # or sums are split, and round, differently
    program = Path(__file__).with_name("replicas.py")
    with open(path.with_suffix(".log"), "w") as log:  # no pipe: of several processes only one is read at a time
        return forked.start(program, path, *cases, env=os.environ | one_thread | environment, log=log)


def finished(process, path):
    """Case -> name -> array."""
    assert process.wait(timeout=500) == 0, path.with_suffix(".log").read_text()[-3000:]
    found = {}
    for key, value in np.load(path).items():
        case, name = key.split("/")
        found.setdefault(case, {})[name] = value
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Case -> name -> array; all cases run in one process of their own, which has two logical CPU devices."""
    path = tmp_path_factory.mktemp("replicas") / "results.npz"
    cases = [*CASES, *[case for others in CASES.values() for case in others], *OTHERS]
    return finished(start(path, cases, TFDL_LOGICAL_CPUS="2"), path)


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """A function: number of workers -> the results of each of them."""
    folder = tmp_path_factory.mktemp("workers")

    @functools.cache
    def of(count):
        cases = ON_WORKERS[count]
        hosts = [f"127.0.0.1:{port}" for port in free_ports(count)]
        paths = [folder / f"{count}_{i}.npz" for i in range(count)]
        tasks = [{"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}} for i in range(count)]
        processes = [start(path, cases, TF_CONFIG=json.dumps(task)) for path, task in zip(paths, tasks)]
        try:
            return [finished(*pair) for pair in zip(processes, paths)]
        finally:
            for process in processes:
                process.kill()

    return of


def difference(a, b, prefix):
    return max(float(np.abs(a[name] - b[name]).max()) for name in a if name.startswith(prefix))


PAIRS = [(one, other) for one, others in CASES.items() for other in others]


@pytest.mark.parametrize("one, other", PAIRS)
def test_weights_and_logs_equal_those_of_one_device(results, one, other):
    """Statistics of BatchNorm are weights too."""
    assert difference(results[one], results[other], "weight") <= (1e-5 if "adam" in one or "norm" in one else 1e-6)
    if not ("still" in one and ",3," in other):  # BatchNorm normalizes micro-batches by their own statistics
        assert difference(results[one], results[other], "log_") <= 1e-5


def test_predictions_and_evaluation_equal_those_of_one_device(results):
    one, two = results["1,sgd,37,1,validated"], results["2,sgd,37,1,validated"]
    assert one["predictions"].shape == two["predictions"].shape
    assert difference(one, two, "predictions") <= 1e-5
    assert difference(one, two, "evaluation_") <= 1e-5


def test_masks_and_weights_count_as_in_keras(results):
    """Tokens that are padding, pixels of an ignored class, sample weights; in losses, metrics and weighted metrics."""
    ours, keras_own = results["1,sgd,37,1,several"], results["1,sgd,37,1,several,stock"]
    assert difference(ours, keras_own, "weight") <= 1e-6
    names = [name for name in ours if "accuracy" in name or name == "log_loss"]
    assert len(names) == 7
    for name in names:
        np.testing.assert_allclose(ours[name], keras_own[name], rtol=1e-6)


def test_schedules_and_averages_count_updates_not_micro_batches(results):
    assert results["1,schedule,37,1"]["updates"] == results["1,schedule,37,3"]["updates"] == 6


@pytest.mark.parametrize("replicas", [1, 2])
def test_rates_and_freezing_reach_every_replica(results, replicas):
    assert difference(results["1,adamw,37,1"], results[f"{replicas},adamw,37,1,rates"], "weight0") > 1e-3
    frozen = results[f"{replicas},ema,31,1,norm,frozen"]
    assert (frozen["weight3"] == 0).all() and (frozen["weight4"] == 1).all(), "BatchNorm's statistics, as they began"


def test_keras_own_step_fails_where_ours_does_not(results):
    """If this fails, Keras has mended batches that replicas cannot share evenly, and the engine may become simpler."""
    assert "same size and shape" in str(results["2,sgd,37,1,stock"]["error"])


def test_empty_micro_batches_leave_statistics_finite(results):
    weights = [v for k, v in results["2,sgd,31,3,norm"].items() if k.startswith("weight")]
    assert all(np.isfinite(w).all() for w in weights)


@pytest.mark.parametrize("replicas", [1, 2])
def test_infinite_gradient_on_one_replica_skips_the_update_everywhere(results, replicas):
    """That of BatchNorm's statistics too."""
    found = results[f"{replicas},sgd,37,1,float16,infinite,norm"]
    assert all(np.isfinite(v).all() for k, v in found.items() if k.startswith("weight"))
    assert found["updates"] == 4  # 3 batches an epoch, of which the first overflows
    assert found["scale"] == 2.0**15 / 4
    one = results["1,sgd,37,1,float16,infinite,norm"]
    assert difference(one, found, "weight") <= 2e-3  # float16 sums round differently


def test_dropout_differs_between_replicas_and_the_first_draws_what_one_device_does(results):
    one, two = results["1,sgd,37,1,dropout"], results["2,sgd,37,1,dropout"]
    np.testing.assert_array_equal(two["drawn0"], one["drawn0"])
    assert (two["drawn1"] != one["drawn0"]).any()
    assert difference(one, two, "weight") > 1e-4


SLOW = {2: [], 3: [pytest.mark.slow]}  # three processes on two cores take their time
WORKER_CASES = [pytest.param(n, case, marks=SLOW[n]) for n, cases in ON_WORKERS.items() for case in cases]


@pytest.mark.parametrize("count, case", WORKER_CASES)
def test_workers_agree_bit_for_bit(workers, count, case):
    first, *others = [found[case] for found in workers(count)]
    for other in others:
        assert first.keys() == other.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], other[name], err_msg=name)


@pytest.mark.parametrize("case", ON_WORKERS[2])
def test_two_workers_equal_two_mirrored_devices_bit_for_bit(workers, results, case):
    for name, value in results[case].items():
        if name.startswith("weight"):
            np.testing.assert_array_equal(workers(2)[0][case][name], value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case, single", [("3,adamw,31,1,norm,fresh", "1,adamw,31,1,norm,fresh"), ("3,sgd,31,1", "1,sgd,31,1")]
)
def test_three_workers_equal_one_device(workers, results, case, single):
    one, many = results[single], workers(3)[0][case]
    assert difference(one, many, "weight") <= 1e-5
    assert difference(one, many, "log_") <= 1e-5


def test_workers_log_and_predict_what_one_device_does(workers, results):
    one, two = results["1,sgd,37,1,validated"], workers(2)[0]["2,sgd,37,1,validated"]
    for prefix in ("log_", "evaluation_", "predictions"):
        assert difference(one, two, prefix) <= 1e-5


def test_infinite_gradient_on_one_worker_skips_the_update_on_both(workers):
    for found in workers(2):
        assert found["2,sgd,37,1,float16,infinite,norm"]["updates"] == 4
        assert found["2,sgd,37,1,float16,infinite,norm"]["scale"] == 2.0**15 / 4


# One device


def compiled(optimizer="sgd", loss="mse", **options):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer, loss, **options)
    return model


def test_gradient_norm_is_that_of_the_whole_batch():
    model = exact(compiled(keras.optimizers.SGD(0.0)), accumulate=2)
    x, y = np.ones((5, 3), "float32"), np.zeros((5, 2), "float32")
    model.fit(x, y, batch_size=5, verbose=0)
    error = model.predict(x, verbose=0)[0]  # (2,)
    kernel = np.repeat(error[None], 3, axis=0)  # d mean(error^2) / d kernel, for x = 1
    assert model.gradient_norm.numpy() == pytest.approx(np.sqrt((kernel**2).sum() + (error**2).sum()), rel=1e-5)


def test_gradient_norm_is_free_of_the_loss_scale():
    variables = [keras.Variable(np.zeros(4, "float32"))]
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), initial_scale=1024.0)
    optimizer.build(variables)
    norm = gradients.update(optimizer, [optimizer.scale_loss(keras.ops.ones(4) * 3.0)], variables)
    assert float(norm) == pytest.approx(6.0)


def test_mean_over_nothing_is_zero():
    assert float(gradients.mean_over(tf.constant(6.0), 4)) == 1.5
    assert float(gradients.mean_over(tf.constant(6.0), 0)) == 0.0


@pytest.mark.parametrize("accumulate", [1, 2])
def test_padding_is_not_counted(accumulate):
    """The model always says class 0, which no word has."""
    tokens, classes = np.array([[1, 2, 0, 0], [3, 0, 0, 0]]), np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
    inputs = keras.Input((4,))
    words = keras.layers.Embedding(5, 6, mask_zero=True)(inputs)
    first = keras.initializers.Constant([1.0, 0.0])
    model = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer=first)(words))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    exact(model, accumulate=accumulate)
    trained = {name: values[0] for name, values in model.fit(tokens, classes, verbose=0).history.items()}
    for logs in (trained, model.evaluate(tokens, classes, verbose=0, return_dict=True)):
        assert logs["accuracy"] == logs["weighted_accuracy"] == 0.0
        assert logs["loss"] == pytest.approx(np.log(1 + np.e))


@pytest.mark.parametrize("accumulate", [1, 4])
def test_ignored_class_is_not_counted(accumulate):
    images, classes = np.random.default_rng(0).normal(size=(16, 4)).astype("float32"), np.arange(16) % 3
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="zeros")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)
    model.compile(keras.optimizers.SGD(1.0), loss)
    exact(model, accumulate=accumulate).fit(images, classes, batch_size=16, verbose=0)
    # The mean of one-hot minus a third over 6 images of class 0 and 5 of class 1.
    np.testing.assert_allclose(model.get_weights()[1], np.array([6, 5, 0]) / 11 - 1 / 3, atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_each_output_logs_the_mean_over_all_samples(accumulate):
    """The last batch holds one sample."""
    x = np.arange(9, dtype="float32")[:, None]
    inputs = keras.Input((1,))
    zero = [keras.layers.Dense(1, kernel_initializer="zeros", name=name)(inputs) for name in "ab"]
    model = keras.Model(inputs, dict(zip("ab", zero)))
    model.compile(keras.optimizers.SGD(0.0), {"a": "mse", "b": "mae"})
    logs = exact(model, accumulate=accumulate).fit(x, {"a": x, "b": x}, batch_size=4, verbose=0, shuffle=False).history
    assert logs["a_loss"] == pytest.approx([np.mean(x**2)])
    assert logs["b_loss"] == pytest.approx([np.mean(x)])
    assert logs["loss"] == pytest.approx([np.mean(x**2) + np.mean(x)])


def test_sum_divided_by_a_batch_size_is_refused_where_batches_are_split():
    def by_sixteen(truth, predicted):
        return keras.ops.sum(keras.ops.square(truth - predicted)) / 16

    def mean(truth, predicted):
        return keras.ops.mean(keras.ops.square(truth - predicted))

    x, y = np.ones((16, 3), "float32"), np.ones((16, 2), "float32")
    exact(compiled(loss=by_sixteen)).fit(x, y, batch_size=16, verbose=0)
    exact(compiled(loss=mean), accumulate=2).fit(x, y, batch_size=16, verbose=0)
    with pytest.raises(ValueError, match="by_sixteen' returns a sum"):
        exact(compiled(loss=by_sixteen), accumulate=2).fit(x, y, batch_size=16, verbose=0)


class Subclass(keras.Model):
    """Its layers have weights once it has seen a batch."""

    def __init__(self):
        super().__init__()
        self.norm, self.dense = keras.layers.BatchNormalization(), keras.layers.Dense(2)

    def call(self, x, training=False):
        return self.dense(self.norm(x, training=training))


@pytest.mark.parametrize("make", [lambda: keras.Sequential([keras.layers.Dense(2)]), Subclass])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_unbuilt_models_train_and_lose_no_batch(make, jit_compile):
    taken = []

    def batches():
        taken.append(0)
        yield np.ones((5, 3), "float32"), np.ones(5, "int32")

    spec = (tf.TensorSpec((None, 3)), tf.TensorSpec((None,), tf.int32))
    model = make()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, metrics=["accuracy"], jit_compile=jit_compile)
    history = exact(model).fit(tf.data.Dataset.from_generator(batches, output_signature=spec), epochs=3, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert len(taken) == 3


@pytest.mark.parametrize("image, target", [(1e6, 1.0), (1.0, 1e6)])
def test_float16_overflow_leaves_statistics_and_weights_as_they_were(image, target):
    """Infinite on the way forward, or only on the way back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        norm = keras.layers.BatchNormalization()
        model = keras.Sequential([keras.Input((4, 4, 2)), norm, keras.layers.Flatten(), keras.layers.Dense(2)])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        exact(model)
        old = model.get_weights()
        images = np.ones((4, 4, 4, 2), "float32")
        images[2] = image
        model.train_on_batch(images, np.full((4, 2), target))
        for kept, weight in zip(old, model.get_weights()):
            np.testing.assert_array_equal(weight, kept)
        model.train_on_batch(np.ones((4, 4, 4, 2), "float32"), np.ones((4, 2)))
        np.testing.assert_allclose(norm.moving_mean, 0.01, rtol=1e-3)
    finally:
        keras.config.set_dtype_policy(before)


def test_statistics_that_overflow_are_undone_though_the_update_is_finite():
    """Behind a layer whose gradient is zero nobody else sees that a map overflowed."""
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    weight, lost, kept = (keras.Variable(np.ones(2, "float32")) for _ in range(3))
    optimizer.build([weight])
    with gradients.undone_if_skipped([lost, kept], optimizer):
        lost.assign([math.nan, 5.0])
        kept.assign([7.0, 8.0])
        optimizer.apply([tf.zeros(2)], [weight])
    assert int(optimizer.iterations) == 1
    assert lost.numpy().tolist() == [1.0, 1.0] and kept.numpy().tolist() == [7.0, 8.0]


def test_replica_without_samples_adds_nothing():
    """Of a last batch of 1, two replicas get one sample and none; what stands in for the missing one is not seen."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    exact(model)
    x, y = np.ones((4, 3), "float32"), np.full((4, 2), 7.0, "float32")
    assert model.predict_step((tf.constant(x[:0]),)).shape == (0, 2)
    assert model.predict_step((tf.constant(x),)).shape == (4, 2)
    model.reset_metrics()
    model.test_step((tf.constant(x), tf.constant(y)))
    expected = {name: float(value) for name, value in model.get_metrics_result().items()}
    model.test_step((tf.constant(x[:0]), tf.constant(y[:0])))
    assert {name: float(value) for name, value in model.get_metrics_result().items()} == expected


def test_mask_reaches_synchronized_statistics():
    layer = keras.layers.BatchNormalization()
    layer.build((None, 5, 2))
    random = np.random.default_rng(0)
    x, mask = tf.constant(random.normal(size=(7, 5, 2)), tf.float32), tf.constant(random.random((7, 5)) < 0.6)
    for found, expected in zip(global_moments(layer, x, mask), layer._moments(x, mask)):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_end_of_data_of_unknown_length_counts_no_update():
    model = exact(compiled())
    batch = tf.data.Dataset.from_tensors((np.ones((5, 3), "float32"), np.zeros((5, 2), "float32")))
    model.fit(batch.repeat(4).filter(lambda *_: True), epochs=2, verbose=0)
    assert model.optimizer.iterations.numpy() == 8


@pytest.mark.parametrize("accumulate", [1, 2])
def test_model_sees_the_size_of_its_images(accumulate):
    """A layer that cuts its input into windows must know how many: only the number of samples may be open."""
    seen = []

    @keras.saving.register_keras_serializable("test")
    class Spy(keras.layers.Layer):
        def call(self, x):
            seen.append(tuple(x.shape))
            return x

    inputs = keras.Input((6, 5, 2))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(Spy()(inputs))))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    exact(model, accumulate=accumulate)
    seen.clear()
    data = tf.data.Dataset.from_tensor_slices((np.zeros((7, 6, 5, 2), "float32"), np.zeros(7, "int32"))).batch(4)
    model.fit(data, validation_data=data, epochs=1, verbose=0, shuffle=False)
    model.predict(data, verbose=0)
    assert seen and {shape[1:] for shape in seen} == {(6, 5, 2)}


def test_accumulation_in_the_optimizer_is_refused():
    with pytest.raises(ValueError, match="gradient_accumulation_steps=4"):
        exact(compiled(keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)))


def test_several_steps_an_execution_are_refused_on_several_replicas():
    with pytest.raises(ValueError, match="steps_per_execution=2"):
        check_steps(2)
    check_steps(1)


def test_averaged_weights_put_in_place_while_training_are_refused_on_several_replicas():
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=5)
    with pytest.raises(ValueError, match="ema_overwrite_frequency=5 fails on 2 replicas"):
        check_optimizer(optimizer, 2)
    check_optimizer(optimizer, 1)
    check_optimizer(keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=None), 2)


def test_summed_losses_are_refused():
    with pytest.raises(ValueError, match="reduction='sum'"):
        exact(compiled(loss=keras.losses.MeanSquaredError(reduction="sum")))


def test_uncompiled_models_are_refused():
    with pytest.raises(ValueError, match="not compiled"):
        exact(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))


def test_accumulate_must_be_positive():
    with pytest.raises(ValueError, match="accumulate=0"):
        exact(compiled(), accumulate=0)


def test_saved_model_does_not_remember_the_step(tmp_path):
    model = exact(compiled())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])
