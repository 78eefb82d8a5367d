"""One device, two devices and accumulation end with the same weights and logs."""

import functools
import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import forked
from tfdl.distribution.local_cluster import free_ports
from tfdl.train.step import exact

# 32 samples: even batches of 16; 33: a last batch of 1, so that one replica (and two of three micro-batches) get none;
# 37: a last batch of 5, 3 and 2.
CASES = {
    "1,sgd,32,1": ["2,sgd,32,1"],
    "1,sgd,37,1": ["2,sgd,37,1", "1,sgd,37,3", "2,sgd,37,3"],
    "1,sgd,33,1": ["2,sgd,33,1", "2,sgd,33,3"],
    "1,adam,33,1": ["2,adam,33,1"],
    "1,adamw,33,1": ["2,adamw,33,1", "1,adamw,33,3"],
    "1,ema,37,1": ["2,ema,37,1", "1,ema,37,3"],
    "1,schedule,37,1": ["1,schedule,37,3"],
    "1,sgd,33,1,norm": ["2,sgd,33,1,norm"],
    "1,adamw,37,1,norm": ["2,adamw,37,1,norm"],
    "1,adamw,37,1,players": ["2,adamw,37,1,players"],
    "1,adamw,37,1,rates": ["2,adamw,37,1,rates", "1,adamw,37,3,rates"],
    "1,ema,33,1,norm,frozen": ["2,ema,33,1,norm,frozen"],
}
OTHERS = [
    "1,adamw,37,1",
    "2,adamw,37,1",
    "1,sgd,33,3,norm",
    "2,sgd,33,3,norm",
    "1,sgd,37,1,float16,infinite",
    "2,sgd,37,1,float16,infinite",
    "1,sgd,37,1,dropout",
    "2,sgd,37,1,dropout",
    "2,sgd,37,1,stock",
]


# The same on two worker processes, and on three, which no batch divides evenly.
ON_WORKERS = {
    2: ["2,sgd,33,3", "2,adamw,37,1,norm", "2,adamw,37,1,players"]
    + ["2,sgd,33,3,norm", "2,sgd,37,1,float16,infinite", "2,sgd,37,1,dropout"],
    3: ["3,adamw,37,1,norm", "3,sgd,33,1"],
}


def start(path, cases, **environment):
    """One process that trains `cases`."""
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}  # or sums are split, and round, differently
    program = Path(__file__).with_name("replicas.py")
    with open(path.with_suffix(".log"), "w") as log:
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
def test_weights_equal_those_of_one_device(results, one, other):
    limit = 1e-5 if "adam" in one else 1e-6
    assert difference(results[one], results[other], "weight") <= limit


@pytest.mark.parametrize("one, other", PAIRS)
def test_loss_accuracy_and_predictions_equal_those_of_one_device(results, one, other):
    assert difference(results[one], results[other], "log_") <= 1e-5
    assert results[one]["predictions"].shape == results[other]["predictions"].shape
    assert difference(results[one], results[other], "predictions") <= 1e-4


def test_schedules_and_averages_count_updates_not_micro_batches(results):
    assert results["1,schedule,37,1"]["updates"] == results["1,schedule,37,3"]["updates"] == 6


@pytest.mark.parametrize("replicas", [1, 2])
def test_rates_and_freezing_reach_every_replica(results, replicas):
    slower = results[f"{replicas},adamw,37,1,rates"]
    assert difference(results[f"{replicas},adamw,37,1"], slower, "weight0") > 1e-3
    frozen = results[f"{replicas},ema,33,1,norm,frozen"]
    assert (frozen["weight3"] == 0).all() and (frozen["weight4"] == 1).all(), "BatchNorm's statistics, as they began"


def test_keras_own_step_differs_where_ours_does_not(results):
    """If this fails, Keras has mended the uneven last batch, and the engine may become simpler."""
    assert difference(results["1,sgd,37,1"], results["2,sgd,37,1,stock"], "weight") > 1e-3


@pytest.mark.parametrize("replicas", [1, 2])
def test_empty_micro_batches_leave_statistics_finite(results, replicas):
    weights = [v for k, v in results[f"{replicas},sgd,33,3,norm"].items() if k.startswith("weight")]
    assert all(np.isfinite(w).all() for w in weights)


@pytest.mark.parametrize("replicas", [1, 2])
def test_infinite_gradient_on_one_replica_skips_the_update_everywhere(results, replicas):
    found = results[f"{replicas},sgd,37,1,float16,infinite"]
    assert all(np.isfinite(v).all() for k, v in found.items() if k.startswith("weight"))
    assert found["updates"] == 4  # 3 batches an epoch, of which the first overflows
    assert found["scale"] == 2.0**15 / 4
    assert difference(results["1,sgd,37,1,float16,infinite"], found, "weight") <= 2e-3  # float16 sums round differently


def test_dropout_differs_between_replicas(results):
    """With one mask for both replicas the gradients of 16 samples would be those of 8 masks."""
    assert difference(results["1,sgd,37,1,dropout"], results["2,sgd,37,1,dropout"], "weight") > 1e-4


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


@pytest.mark.parametrize("count, case", WORKER_CASES)
def test_workers_equal_one_device(workers, results, count, case):
    one, many = results.get("1" + case[1:], {}), workers(count)[0][case]
    if case.endswith(("dropout", "infinite")) or case == "2,sgd,33,3,norm":  # other masks, rounding, micro-batches
        assert all(np.isfinite(value).all() for name, value in many.items() if name.startswith("weight"))
        return
    if case == "2,sgd,33,3":
        one = results["1,sgd,33,1"]
    assert difference(one, many, "weight") <= (1e-5 if "adam" in case else 1e-6)
    assert difference(one, many, "log_") <= 1e-5
    assert one["predictions"].shape == many["predictions"].shape
    assert difference(one, many, "predictions") <= 1e-4
    assert all(np.abs(one[name] - many[name]) <= 1e-5 for name in one if name.startswith("evaluation_"))


def test_infinite_gradient_on_one_worker_skips_the_update_on_both(workers):
    for found in workers(2):
        assert found["2,sgd,37,1,float16,infinite"]["updates"] == 4
        assert found["2,sgd,37,1,float16,infinite"]["scale"] == 2.0**15 / 4


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
