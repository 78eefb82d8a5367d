"""Where the list of workers comes from, and a clear sentence where there is none."""

import json
import os
import threading

import numpy as np
import pytest
import tensorflow as tf

from tfdl.distribution import multi_worker, strategies

CLUSTER = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


def task(host="a:1", index=0):
    return json.dumps({"cluster": {"worker": [host, "b:2"]}, "task": {"type": "worker", "index": index}})


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("TF_CONFIG", "TFDL_CLUSTER", "TFDL_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_cluster_auto_is_one_device_and_multi_worker_says_what_to_do():
    assert not multi_worker.is_described()
    with pytest.raises(ValueError, match="found no cluster. Start the workers with `tfdl launch"):
        multi_worker.resolver()


def test_tf_config(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(CLUSTER))
    assert multi_worker.is_described()
    found = multi_worker.resolver()
    assert found.task_id == 1 and found.cluster_spec().as_dict() == CLUSTER["cluster"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "does not describe a worker"),
        ("[" * 100_000, "does not describe a worker"),
        ('{"cluster": {"worker": 5}, "task": {"type": "worker", "index": 0}}', "does not describe a worker"),
        *((task(index=index), "does not describe a worker") for index in (-1, 2, 0.0, True, "0", None)),
        *(
            (task(host), "does not describe a worker")
            for host in ("a:99999", "a:0", "a:-1", "a", ":5", "a:b", "a b:5", 7)
        ),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}', "every task must be a worker"),
    ],
)
def test_bad_tf_config_is_shown(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=words) as error:
        multi_worker.resolver()
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("place", ["", "p", "p/z", "p//g", "p/z/g/x"])
def test_an_instance_group_has_three_names(monkeypatch, place):
    monkeypatch.setenv("TFDL_CLUSTER", f"gce:{place}")
    with pytest.raises(ValueError, match="is not an instance group; give gce:PROJECT/ZONE/GROUP"):
        multi_worker.resolver()


def test_unknown_cluster_lists_the_known_ones(monkeypatch):
    monkeypatch.setenv("TFDL_CLUSTER", "slrum")
    with pytest.raises(ValueError, match="'slrum' is unknown; choose one of tf_config, slurm, kubernetes, gce"):
        multi_worker.resolver()


def test_slurm(monkeypatch):
    monkeypatch.setenv("TFDL_CLUSTER", "slurm")
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(ValueError, match="TFDL_CLUSTER=slurm: this process is not part of such a cluster"):
        multi_worker.resolver()
    step = {"PROCID": "3", "STEP_NUM_TASKS": "4", "STEP_NODELIST": "n[1-2]", "STEP_TASKS_PER_NODE": "2(x2)"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    found = multi_worker.resolver()
    assert found.task_id == 3 and found.num_accelerators() == {"GPU": len(tf.config.list_physical_devices("GPU"))}
    assert found.cluster_spec().as_dict()["worker"] == ["n1:8470", "n1:8471", "n2:8470", "n2:8471"]


class Listed:
    """A resolver that knows the machines but not which of them this is, as those of Kubernetes and GCE."""

    def __init__(self, *args, **kwargs):
        self.args = args

    def cluster_spec(self):
        return tf.train.ClusterSpec({"worker": ["10.0.0.7:8470", "10.0.0.5:8470"]})


@pytest.mark.parametrize("cluster, name", [("kubernetes:job-name=x", "Kubernetes"), ("gce:p/z/g", "GCE")])
def test_lists_of_machines(monkeypatch, cluster, name):
    monkeypatch.setattr(multi_worker.resolvers, f"{name}ClusterResolver", Listed)
    monkeypatch.setenv("TFDL_CLUSTER", cluster)
    with pytest.raises(ValueError, match="none of 10.0.0.5:8470, 10.0.0.7:8470 is this machine's address"):
        multi_worker.resolver()
    monkeypatch.setenv("TFDL_ADDRESS", "10.0.0.7")
    found = multi_worker.resolver()
    assert found.task_id == 1 and found.cluster_spec().as_dict()["worker"] == ["10.0.0.5:8470", "10.0.0.7:8470"]


def test_kubernetes_without_its_client_says_so(monkeypatch):
    monkeypatch.setenv("TFDL_CLUSTER", "kubernetes")
    with pytest.raises(ValueError, match="TFDL_CLUSTER=kubernetes: this process is not part"):
        multi_worker.resolver()


class Workers:
    """Two workers as two threads, which add up what their replicas say: `each(call)` -> what each of them returns."""

    def __init__(self, devices):
        self.devices, self.said, self.barrier = devices, [None, None], threading.Barrier(2, timeout=20)

    def each(self, call):
        results = [None, None]

        def work(index):
            try:
                results[index] = call(self.strategy(index))
            except (ValueError, OSError) as error:
                results[index] = error

        threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def strategy(workers, index):  # noqa: N805 (self is the strategy's, below)
        class Strategy(tf.distribute.MultiWorkerMirroredStrategy):
            num_replicas_in_sync = 2 * workers.devices
            cluster_resolver = multi_worker.resolvers.SimpleClusterResolver(
                tf.train.ClusterSpec({"worker": ["a:1", "b:2"]}), task_type="worker", task_id=index
            )

            def __init__(self):
                pass

            def experimental_distribute_values_from_function(self, value_of):
                ids = range(index * workers.devices, (index + 1) * workers.devices)
                return [value_of(tf.distribute.experimental.ValueContext(i, 2 * workers.devices)) for i in ids]

            def reduce(self, operation, values, axis):
                assert operation == tf.distribute.ReduceOp.SUM and axis is None
                workers.said[index] = sum(values[1:], values[0])
                workers.barrier.wait()
                result = workers.said[0] + workers.said[1]
                workers.barrier.wait()
                return result

        return Strategy()


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_a_sum_counts_each_worker_once_whatever_devices_it_has(devices):
    def call(strategy):
        own = [1.5, 2.0] if multi_worker.is_chief(strategy) else [10.0, 20.0]
        return multi_worker.total(strategy, own).tolist(), multi_worker.total(strategy, [2**60 + 1, 1]).tolist()

    assert Workers(devices).each(call) == [([11.5, 22.0], [2**61 + 2, 2])] * 2
    assert Workers(devices).each(lambda s: multi_worker.total(s, [True, False]).tolist()) == [[2, 0]] * 2


@pytest.mark.parametrize("size", [0, 1, 4, 11, 12, 13, 24, 1000])
def test_a_message_of_any_size_comes_whole(monkeypatch, size):
    monkeypatch.setattr(multi_worker, "MESSAGE_SIZE", 3)  # int32 numbers: 12 bytes
    message = os.urandom(size)
    made = []

    def make():
        made.append(1)
        return message

    assert Workers(2).each(lambda strategy: multi_worker.from_chief(strategy, make)) == [message] * 2
    assert made == [1]  # by the chief alone


def test_what_is_wrong_at_the_chief_is_raised_by_all():
    def make():
        raise FileExistsError("The run folder x is not empty.")

    chief, other = Workers(1).each(lambda strategy: multi_worker.from_chief(strategy, make))
    assert isinstance(chief, FileExistsError) and isinstance(other, ValueError)
    assert str(other) == "The run folder x is not empty."


def test_numbers_keep_their_shape_and_type():
    def call(strategy):
        return multi_worker.total(strategy, np.arange(6, dtype="int32").reshape(2, 3))

    for result in Workers(2).each(call):
        np.testing.assert_array_equal(result, 2 * np.arange(6).reshape(2, 3))
        assert result.dtype == np.int32


def test_a_request_of_one_worker_is_known_to_all_after_the_same_step(monkeypatch):
    """The other worker wants to save, this one to stop from its second step on."""

    class Context:
        def all_reduce(self, operation, own):
            assert operation == "SUM"
            return own + [0.0, 1.0]

    monkeypatch.setattr(tf.distribute, "get_replica_context", Context)
    requests = multi_worker.SharedRequests()
    step = requests.after(lambda data: {"loss": data})
    assert requests.exchange(False, False) == [False, False]
    assert step(2.0) == {"loss": 2.0} and requests.exchange(True, False) == [False, True]
    assert step(2.0) == {"loss": 2.0} and requests.exchange(True, False) == [True, True]


def test_one_process_needs_no_talk():
    strategy = tf.distribute.get_strategy()
    assert multi_worker.count(strategy) == 1 and multi_worker.is_chief(strategy)
    assert multi_worker.from_chief(strategy, lambda: b"as it is") == b"as it is"
    assert multi_worker.total(strategy, [1, 2]).tolist() == [1, 2]


@pytest.mark.parametrize("name", list(strategies.REFUSED))
def test_what_does_not_work_is_refused_with_a_way_out(name):
    with pytest.raises(ValueError, match=f"Strategy '{name}' is not supported: .*use m"):
        strategies.create(name)
