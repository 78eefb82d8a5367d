"""Trains small estimators on one device and on two logical CPU devices, and keeps what the two have learned.

Run as a program (logical devices must be made before TensorFlow starts):  python replicated_pose.py RESULT.npz
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tests.learners import test_face_detector
from tests.learners.test_detector import dataset, without_norms
from tests.learners.test_pose_estimator import KINDS, estimator, hidden_points
from tfdl.distribution import strategies
from tfdl.train.step import exact


def trained(kind, strategy, accumulate):
    """Weights and losses after two epochs of batches of 5, which two replicas cannot share evenly."""
    batch = test_face_detector.people() if kind == "faces" else hidden_points()
    with strategy.scope():
        model = without_norms(test_face_detector.detector() if kind == "faces" else estimator(kind))
        model.compile(keras.optimizers.SGD(0.1, global_clipnorm=1.0), jit_compile=False)
    exact(model, accumulate=accumulate)
    history = model.fit(dataset(batch, 5), epochs=2, verbose=0, shuffle=False).history["loss"]
    return {f"weight{i}": np.array(w) for i, w in enumerate(model.get_weights())} | {"losses": np.array(history)}


if __name__ == "__main__":
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # most of the time is tracing
    mirrored = strategies.create("mirrored")
    assert mirrored.num_replicas_in_sync == 2
    results = {}
    for kind in (*KINDS, "faces"):
        for case, strategy, accumulate in (("one", strategies.create("single"), 1), ("two", mirrored, 2)):
            results |= {f"{kind}/{case}/{name}": value for name, value in trained(kind, strategy, accumulate).items()}
    np.savez(sys.argv[1], **results)
