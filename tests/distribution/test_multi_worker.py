"""Where the list of workers comes from, and a clear sentence where there is none."""

import json

import pytest
import tensorflow as tf

from tfdl.distribution import multi_worker, strategies

CLUSTER = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


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
        ("{", "describes no worker"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "describes no worker"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}', "every task must be a worker"),
    ],
)
def test_bad_tf_config_is_shown(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=words):
        multi_worker.resolver()


def test_unknown_cluster_lists_the_known_ones(monkeypatch):
    monkeypatch.setenv("TFDL_CLUSTER", "slrum")
    with pytest.raises(ValueError, match="'slrum' is unknown; choose one of tf_config, slurm, kubernetes, gce"):
        multi_worker.resolver()


def test_slurm(monkeypatch):
    monkeypatch.setenv("TFDL_CLUSTER", "slurm")
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(ValueError, match="TFDL_CLUSTER=slurm: there is no such cluster around this process"):
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
    with pytest.raises(ValueError, match="TFDL_CLUSTER=kubernetes: there is no such cluster"):
        multi_worker.resolver()


def test_one_process_needs_no_talk():
    strategy = tf.distribute.get_strategy()
    assert multi_worker.count(strategy) == 1 and multi_worker.is_chief(strategy)
    assert multi_worker.from_chief(strategy, lambda: b"as it is") == b"as it is"
    assert multi_worker.total(strategy, [1, 2]).tolist() == [1, 2]


@pytest.mark.parametrize("name", list(strategies.REFUSED))
def test_what_does_not_work_is_refused_with_a_way_out(name):
    with pytest.raises(ValueError, match=f"Strategy '{name}' is not supported: .*use m"):
        strategies.create(name)
