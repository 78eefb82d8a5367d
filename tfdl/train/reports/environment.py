"""What a run should remember about where it ran."""

import os
import platform

import keras
import tensorflow as tf

from tfdl.core.provenance import command, commit, versions


def environment(strategy):
    """A JSON-ready dict: versions, devices, strategy, command, commit."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "versions": versions(),
        "backend": keras.backend.backend(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "strategy": type(strategy).__name__,
        "replicas": strategy.num_replicas_in_sync,
        "launch": os.environ.get("TFDL_LAUNCH"),  # the same for every process of one launch
        "command": command(),
        "commit": commit(),
    }
