"""Data-parallel training by several processes (workers), on one machine or on many.

Every worker runs the same recipe.  Worker 0, the chief, owns the run folder and sends its contents to the others.

    strategy = multi_worker.create()                  # from TF_CONFIG or TFDL_CLUSTER
    text = multi_worker.from_chief(strategy, read)    # `read()` runs on the chief; all workers get its bytes
    model = multi_worker.fit_on_workers(model)        # Keras 3.15's `fit` fails without it (keras issue 20585)

| TFDL_CLUSTER              | source of the list of workers                                                   |
|---------------------------|---------------------------------------------------------------------------------|
| (not set)                 | TF_CONFIG, which `tfdl launch`, Ray Train, Kubeflow and Vertex AI set           |
| slurm                     | the variables of a Slurm job step: one task is one worker                       |
| kubernetes:LABEL          | the pods with that label, such as job-name=tfdl; they must use the host network |
| gce:PROJECT/ZONE/GROUP    | the machines of an instance group of Google Compute Engine                      |
"""

import json
import os
import socket
import types

import keras
import numpy as np
import tensorflow as tf

from tfdl.distribution.local_cluster import is_address

PORT = 8470  # of the workers, if the cluster's list has none
MESSAGE_SIZE = 4 * 1024**2  # numbers sent at once: 16 MiB
STARTED = "Collective ops must be configured at program startup"

resolvers = tf.distribute.cluster_resolver


def create():
    """The `MultiWorkerMirroredStrategy` of this process's cluster.

    Raises:
        ValueError: the environment describes no cluster or an invalid one, or TensorFlow has already run an operation.
    """
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver())
    except RuntimeError as error:
        if STARTED not in str(error):
            raise
        raise ValueError(
            "Strategy 'multi_worker' must be created before TensorFlow runs anything: call run.start() first in main()."
        ) from None


def is_described():
    """Whether the environment describes a cluster of which this process is a part."""
    return "TFDL_CLUSTER" in os.environ or "cluster" in os.environ.get("TF_CONFIG", "")


def resolver():
    """The cluster resolver selected by TFDL_CLUSTER, by default that of TF_CONFIG.  Raises ValueError."""
    kind, _, place = os.environ.get("TFDL_CLUSTER", "tf_config").partition(":")
    if kind not in RESOLVERS:
        raise ValueError(f"TFDL_CLUSTER={kind!r} is unknown; choose one of {', '.join(RESOLVERS)}.")
    try:
        return RESOLVERS[kind](place)
    except (ImportError, RuntimeError, KeyError, OSError) as error:
        raise ValueError(f"TFDL_CLUSTER={kind}: this process is not part of such a cluster ({error}).") from None


def of_tf_config(_):
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise ValueError(
            "Strategy 'multi_worker' found no cluster. Start the workers with `tfdl launch --workers 2 -- run ...`, or"
            " set TF_CONFIG or TFDL_CLUSTER."
        )
    try:
        config = json.loads(text)
        hosts, task = config["cluster"]["worker"], config["task"]
        index = task["index"]
        if type(index) is not int or not 0 <= index < len(hosts) or not all(map(is_address, hosts)):
            raise ValueError
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError(
            f"TF_CONFIG={shortened(text)!r} does not describe a worker; it should be"
            ' {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, with ports from 1 to'
            " 65535 and an index below the number of workers."
        ) from None
    if task.get("type") != "worker":
        raise ValueError(f"TF_CONFIG gives this process the task {task}; every task must be a worker.")
    return resolvers.TFConfigClusterResolver()


def shortened(text):
    return text if len(text) <= 200 else f"{text[:200]}..."


def of_slurm(_):
    # Slurm itself assigns GPUs to tasks.  The resolver fails on nodes without GPUs, so it gets a large number.
    found = resolvers.SlurmClusterResolver(port_base=PORT, gpus_per_node=1000, gpus_per_task=1, auto_set_gpu=False)
    spec = found.cluster_spec()  # also determines the task of this process
    return worker(spec, found.task_id)


def of_kubernetes(label):
    found = resolvers.KubernetesClusterResolver({"worker": [label or "job-name=tfdl"]}, tf_server_port=PORT)
    return with_own_index(found.cluster_spec())


def of_gce(place):
    parts = place.split("/")
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"TFDL_CLUSTER=gce:{place} is not an instance group; give gce:PROJECT/ZONE/GROUP.")
    project, zone, group = parts
    found = resolvers.GCEClusterResolver(project, zone, group, PORT)
    return with_own_index(found.cluster_spec())


def with_own_index(spec):
    """A resolver for the worker of `spec` whose address is this machine's."""
    name = socket.gethostname()
    mine = {name, *(info[4][0] for info in socket.getaddrinfo(name, None)), os.environ.get("TFDL_ADDRESS", name)}
    workers = sorted(spec.as_dict()["worker"])
    places = [i for i, worker in enumerate(workers) if worker.rpartition(":")[0] in mine]
    if len(places) != 1:
        raise RuntimeError(
            f"none of {', '.join(workers)} is this machine's address; set TFDL_ADDRESS to the one that is"
        )
    return worker(tf.train.ClusterSpec({"worker": workers}), places[0])


def worker(spec, index):
    """A resolver for one worker of `spec`."""
    gpus = {"GPU": len(tf.config.list_physical_devices("GPU"))}
    return resolvers.SimpleClusterResolver(spec, "", "worker", index, num_accelerators=gpus, rpc_layer="grpc")


RESOLVERS = {"tf_config": of_tf_config, "slurm": of_slurm, "kubernetes": of_kubernetes, "gce": of_gce}


def count(strategy):
    """The number of workers."""
    cluster = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or cluster is None:
        return 1
    return max(1, cluster.cluster_spec().num_tasks("worker") if cluster.cluster_spec().jobs else 1)


def is_chief(strategy):
    """Whether this process owns the run folder: it is worker 0, or the only one."""
    return count(strategy) == 1 or strategy.cluster_resolver.task_id == 0


def from_chief(strategy, make):
    """Calls `make() -> bytes` on the chief and returns the result on every worker.

    Raises:
        ValueError, OSError: raised by `make`; on all workers, so that none of them waits for a chief that has stopped.
    """
    if count(strategy) == 1:
        return make()
    failed, content = None, b""
    if is_chief(strategy):
        try:
            content = make()
        except (ValueError, OSError) as error:
            failed, content = error, str(error).encode()
    size, wrong = total(strategy, [len(content), failed is not None], dtype="int64")
    content = b"".join(
        total(
            strategy, np.frombuffer(padded(content[start : start + 4 * MESSAGE_SIZE], size - start), "int32")
        ).tobytes()
        for start in range(0, size, 4 * MESSAGE_SIZE)
    )[:size]
    if failed is not None:
        raise failed
    if wrong:
        raise ValueError(content.decode())
    return content


def padded(part, missing):
    """This process's part of a message: its own bytes, or zeros, padded to whole int32 numbers."""
    length = min(missing, 4 * MESSAGE_SIZE)
    return part.ljust(-(-length // 4) * 4, b"\0")


def total(strategy, values, dtype=None):
    """The sum over the workers of an array or a list of numbers, exact for integers.  -> NumPy array, on every worker.

    All workers must call it, in the same order.
    """
    values = np.asarray(values, dtype)
    if count(strategy) == 1:
        return values
    values = values.astype("int64") if values.dtype == bool else values

    devices = strategy.num_replicas_in_sync // count(strategy)  # of a worker; only the first one contributes

    def of_replica(context):
        return tf.constant(values if context.replica_id_in_sync_group % devices == 0 else np.zeros_like(values))

    replicas = strategy.experimental_distribute_values_from_function(of_replica)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, replicas, axis=None).numpy()


def fit_on_workers(model):
    """Makes `fit` and `evaluate` of a compiled `model` work on several workers; returns the model.

    To find the shape of a batch, Keras averages the first one over the workers, which fails if their parts differ in
    shape; and it averages logs over their first axis, which scalars do not have.  `model.requests` are the workers'
    `SharedRequests`.
    """
    if count(model.distribute_strategy) == 1:
        return model
    model.requests = SharedRequests()
    model.train_step = model.requests.after(with_an_axis(model.train_step))
    model.test_step = with_an_axis(model.test_step)
    model._maybe_symbolic_build = types.MethodType(build_from_own_part, model)
    return model


def with_an_axis(step):
    """A train or test step whose logs have shape (1,) instead of ()."""

    def lifted(data):
        return keras.tree.map_structure(lambda x: tf.reshape(x, (1,)), step(data))

    return lifted


def build_from_own_part(model, iterator=None, data_batch=None):
    """`keras.Model._maybe_symbolic_build`, from the shapes of this worker's part of a batch."""
    for _, _, batches in iterator or ():
        part = next(batches)
        data_batch = tf.nest.map_structure(lambda v: model.distribute_strategy.experimental_local_results(v)[0], part)
        break
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=data_batch)


class SharedRequests:
    """Requests to stop or to save, which any worker may make at any time and all workers see after the same step.

    Workers have their own clocks and receive signals separately, but must stop and save together.
    """

    def __init__(self):
        self.own = tf.Variable([0.0, 0.0], name="own_requests")
        self.known = tf.Variable([0.0, 0.0], name="known_requests")

    def after(self, step):
        """The train step, followed by an all-reduce of the requests."""

        def step_and_exchange(data):
            logs = step(data)
            self.known.assign(tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(self.own)))
            return logs

        return step_and_exchange

    def exchange(self, *requests):
        """Sets this worker's two requests; returns whether any worker had each of them at the end of the last step."""
        self.own.assign([float(request) for request in requests])
        return [bool(known > 0) for known in self.known.numpy()]
