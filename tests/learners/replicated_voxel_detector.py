"""Trains a small detector in space on one device and on two logical CPU devices, and keeps what the two have learned.

Run as a program (logical devices must be made before TensorFlow starts):  python replicated_voxel_detector.py X.npz
"""

import sys

import numpy as np
import tensorflow as tf

from tests.learners.test_voxel_detector import trained
from tfdl.distribution import strategies

if __name__ == "__main__":
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # most of the time is tracing
    mirrored = strategies.create("mirrored")
    assert mirrored.num_replicas_in_sync == 2
    results, single = {}, strategies.create("single")
    for case, strategy, accumulate, norms in (
        ("one", single, 1, False),
        ("two", mirrored, 2, False),
        ("alone", single, 1, True),
        ("synced", mirrored, 1, True),
    ):
        weights, losses = trained(accumulate=accumulate, strategy=strategy, norms=norms)
        results |= {f"{case}/weight{i}": weight for i, weight in enumerate(weights)}
        results[f"{case}/losses"] = np.array(losses)
    np.savez(sys.argv[1], **results)
