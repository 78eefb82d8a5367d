"""Data parallelism: strategies by name, and a clear error message if one is not available.

| name         | runs on                                                                     |
|--------------|-----------------------------------------------------------------------------|
| single       | the first GPU, or the CPU                                                   |
| mirrored     | all GPUs of this machine; without GPUs, the CPUs of `TFDL_LOGICAL_CPUS`     |
| multi_worker | several processes on one machine or on many: see `multi_worker`             |
| tpu          | a TPU (slice) that `TPUClusterResolver` finds                               |
| auto         | multi_worker in a cluster, mirrored with two or more GPUs, otherwise single |
"""

import functools

import keras
import tensorflow as tf

from tfdl.core import settings
from tfdl.distribution import multi_worker
from tfdl.distribution.untuned import distribute_untuned

NAMES = ("auto", "single", "mirrored", "multi_worker", "tpu")
# TensorFlow strategies that Keras 3 can't use, and alternatives.
REFUSED = {
    "parameter_server": "Keras 3's fit fails under ParameterServerStrategy, and in a custom loop its optimizers lose"
    " updates of workers that write at the same time; use multi_worker, which `tfdl launch` restarts if a worker dies",
    "central_storage": "CentralStorageStrategy is older than Keras 3 and fails in its fit; use mirrored",
}


@functools.cache  # collective operations of a second MirroredStrategy in one process would conflict with the first's
def create(name="auto"):
    """The `tf.distribute.Strategy` of that name; the same object for the same name.

    Raises:
        ValueError: unknown name, or not available on this machine or Keras backend.
    """
    if name in REFUSED:
        raise ValueError(f"Strategy {name!r} is not supported: {REFUSED[name]}.")
    if name not in NAMES:
        raise ValueError(f"Unknown strategy {name!r}; choose one of {', '.join(NAMES)}.")
    if keras.backend.backend() != "tensorflow":
        if name in ("auto", "single"):
            return tf.distribute.get_strategy()
        raise ValueError(
            f"Strategy {name!r} needs the TensorFlow backend; this process runs Keras on {keras.backend.backend()}."
            " Unset KERAS_BACKEND or use --run.strategy single."
        )
    if name == "tpu":
        return tpu()
    if name == "multi_worker" or (name == "auto" and multi_worker.is_described()):
        return distribute_untuned(multi_worker.create())
    devices = replica_devices()
    if name == "mirrored" and len(devices) < 2:
        raise ValueError(
            f"Strategy 'mirrored' needs two or more devices, but this machine has {len(devices)} ({devices[0]})."
            " Use --run.strategy single, or set TFDL_LOGICAL_CPUS=2 to try it with two logical CPU devices."
        )
    if name == "mirrored" or (name == "auto" and len(devices) > 1 and devices[0].startswith("GPU")):
        return distribute_untuned(tf.distribute.MirroredStrategy(devices))
    return tf.distribute.get_strategy()


def replica_devices():
    """Names of the devices that a mirrored run would use: the GPUs or, without GPUs, the (logical) CPUs.

    Raises:
        ValueError: TFDL_LOGICAL_CPUS is not a number of devices, or TensorFlow already runs with others.
    """
    split_cpu(settings.logical_cpus())
    gpus = tf.config.list_logical_devices("GPU")
    return [f"{d.device_type}:{i}" for i, d in enumerate(gpus or tf.config.list_logical_devices("CPU"))]


def split_cpu(count):
    """Makes `count` logical devices of the CPU.  Raises ValueError if TensorFlow has already started with fewer."""
    if count == 1:
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:  # devices are fixed once TensorFlow has run an operation
        found = len(tf.config.list_logical_devices("CPU"))
        if found != count:
            raise ValueError(
                f"{count} logical CPUs were requested (TFDL_LOGICAL_CPUS or split_cpu), but TensorFlow already runs"
                f" with {found}. Create the strategy before any tensor."
            ) from None


def is_tpu(strategy):
    """Whether it is a TPU, which recompiles for every new shape and has no float16."""
    return isinstance(strategy, tf.distribute.TPUStrategy)


def tpu():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"Strategy 'tpu' found no TPU ({reason}). Run on a TPU VM, or use --run.strategy auto."
        ) from None
    return tf.distribute.TPUStrategy(resolver)
