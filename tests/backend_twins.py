"""Every model of the catalog on the Keras backend that KERAS_BACKEND names.

    KERAS_BACKEND=tensorflow python tests/backend_twins.py FOLDER    # writes weights, models and their outputs
    KERAS_BACKEND=jax python tests/backend_twins.py FOLDER           # reads the weights and models

With NAME ... after the folder only those models.  Each writes FOLDER/BACKEND.npz:

NAME/outputs    of the model, built and given the weights
NAME/loaded     of the model in TensorFlow's .keras file
NAME/mixed      in bfloat16
NAME/losses     of two steps of `fit`
NAME/still      names of the weights that these have left as they were
NAME/error      in the place of what comes after it
"""

import re
import sys
import traceback
from pathlib import Path

import keras
import numpy as np

import tfdl

SHAPE, BATCH, CLASSES, LENGTH = (32, 32, 3), 4, 3, 9  # ViT's patches tile the images, LeNet's kernels find room
SHAPES = dict.fromkeys(("alexnet", "vgg"), (96, 32, 3))  # whose maps of 3 rows they average to 2
OF_IMAGES = re.compile(r"tfdl\.models\.(convnets|foundation|vision_transformers)\.")
OF_TOKENS = {
    "gpt": {},
    "llama": {},
    "bert": {"head": "classifier", "num_classes": CLASSES},
    "roberta": {"head": "classifier", "num_classes": CLASSES},
    "mixtral": {},
    "rnn": {"length": LENGTH},
    "t5": {},
    "bart": {},
    "transformer": {},
    "seq2seq": {},
}
PAIRS = ("bart", "seq2seq", "t5", "transformer")  # read one text and write another
TOKENS = {"rnn": 11, "seq2seq": 9}  # that the smallest variant knows; 61 if none is given
KEYS = [t.key for t in tfdl.topics(built=True) if t.is_model and (t.key in OF_TOKENS or OF_IMAGES.match(t.module))]
# The smallest variant of each model, and LeNet in the parts of its paper, which are layers of our own.
NAMES = [*(f"{key}/nano" for key in KEYS), "lenet/original"]
BACKEND = keras.backend.backend()


def build(name):
    key, variant = name.split("/")
    of_images = {"image_shape": SHAPES.get(key, SHAPE), "num_classes": CLASSES}
    return tfdl.build(key, variant, **OF_TOKENS.get(key, of_images))


def inputs(name):
    key, random = name.split("/")[0], np.random.default_rng(0)
    if key in OF_TOKENS:
        source, target = random.integers(1, TOKENS.get(key, 61), (2, BATCH, LENGTH)).astype("int32")
        return {"source": source, "target_in": target} if key in PAIRS else source
    return random.random((BATCH, *SHAPES.get(key, SHAPE)), dtype="float32")


def outputs(model, name):
    return model.predict(
        inputs(name), verbose=0
    )  # JAX compiles it as a whole, in a fifth of the time of its operations


def reference(name, file):
    """TensorFlow's outputs.  Yields (what, array)."""
    model, random = build(name), np.random.default_rng(1)
    model(inputs(name))
    for weight in model.trainable_weights:  # away from a start where whole branches are zero
        weight.assign(weight + random.normal(0, 0.05, weight.shape))
    tfdl.save_weights(model, f"{file}.safetensors")
    model.save(f"{file}.keras")
    yield "outputs", outputs(model, name)


def twin(name, file):
    """The same of another backend, and what else should run there.  Yields (what, array)."""
    model = tfdl.load_weights(build(name), f"{file}.safetensors")
    yield "outputs", outputs(model, name)
    yield "loaded", outputs(tfdl.load_model(f"{file}.keras"), name)
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield "mixed", outputs(tfdl.load_weights(build(name), f"{file}.safetensors"), name)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    known = inputs(name)
    tokens = known["target_in"] if isinstance(known, dict) else known
    labels = np.arange(BATCH) % CLASSES if outputs(model, name).ndim == 2 else tokens
    history = model.fit(known, labels, batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    yield "losses", history.history["loss"]
    after = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    yield "still", [w.path for w, b, a in zip(model.trainable_weights, before, after) if np.array_equal(a, b)]


def main(folder, names):
    found = {}
    for name in names:
        keras.config.set_dtype_policy("float32")
        keras.utils.set_random_seed(0)
        try:
            make = reference if BACKEND == "tensorflow" else twin
            for what, value in make(name, folder / name.replace("/", "_")):
                found[f"{name}/{what}"] = np.asarray(value)
        except Exception:  # one that fails must not hide the others
            found[f"{name}/error"] = np.asarray(traceback.format_exc())
    np.savez(folder / f"{BACKEND}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or NAMES)
