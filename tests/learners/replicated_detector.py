"""Trains a small detector on one device and on two logical CPU devices, and keeps what the two have learned.

Run as a program (logical devices must be made before TensorFlow starts):  python replicated_detector.py KIND RESULT.npz
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tests.learners.test_detector import dataset, detector, without_norms
from tests.learners.test_grid_segmenter import segmenter
from tests.learners.test_two_stage_detector import detector as two_stage_detector
from tfdl.data.detection import load
from tfdl.distribution import strategies
from tfdl.train.step import exact

KINDS = {"detector": detector, "grid_segmenter": segmenter, "two_stage_detector": two_stage_detector}


def trained(kind, strategy, accumulate):
    """Weights and losses after two epochs of batches of 5, which two replicas cannot share evenly."""
    data = load("shapes", image_size=32, batch_size=6, limit=6, masks=kind != "detector")
    images, truth = next(iter(data.validation))
    batch = images.numpy(), {name: values.numpy() for name, values in truth.items()}
    with strategy.scope():
        model = without_norms(KINDS[kind]())
        model.compile(keras.optimizers.SGD(1e-3, global_clipnorm=1.0), jit_compile=False)
    exact(model, accumulate=accumulate)
    history = model.fit(dataset(batch, 5), epochs=2, verbose=0, shuffle=False).history["loss"]
    return {f"weight{i}": np.array(w) for i, w in enumerate(model.get_weights())} | {"losses": np.array(history)}


if __name__ == "__main__":
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # most of the time is tracing
    mirrored = strategies.create("mirrored")
    assert mirrored.num_replicas_in_sync == 2
    results = {}
    for case, strategy, accumulate in (("one", strategies.create("single"), 1), ("two", mirrored, 2)):
        results |= {f"{case}/{name}": value for name, value in trained(sys.argv[1], strategy, accumulate).items()}
    np.savez(sys.argv[2], **results)
