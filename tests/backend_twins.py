"""Every model of the catalog on the Keras backend that KERAS_BACKEND names.

    KERAS_BACKEND=tensorflow python tests/backend_twins.py FOLDER    # writes weights, models and their outputs
    KERAS_BACKEND=jax python tests/backend_twins.py FOLDER           # reads the weights and models

With NAME ... after the folder only those models.  Each writes FOLDER/BACKEND.npz:

NAME/OUTPUT           of the model, built and given the weights; OUTPUT is "outputs" where it has one alone
NAME/loaded/OUTPUT    of the model in TensorFlow's .keras file
NAME/mixed/OUTPUT     in bfloat16
NAME/losses           of two steps of `fit`
NAME/still            names of the weights that these have left as they were
NAME/error            in the place of what comes after it
"""

import re
import sys
import traceback
from pathlib import Path

import keras
import numpy as np

import tfdl

BATCH, CLASSES, LENGTH, POINTS = 4, 3, 9, 40
SHAPE = (32, 32, 3)  # of images: ViT's patches tile them, LeNet's kernels find room
SHAPES = dict.fromkeys(("alexnet", "vgg"), (96, 32, 3))  # whose maps of 3 rows they average to 2
SHAPES |= dict.fromkeys(("detr", "faster_rcnn", "mask_rcnn", "solo"), (64, 64, 3))  # whose maps are small
WITHOUT_CLASSES = {"blaze_face": {}, "blaze_pose": {"keypoints": 5}}  # of images
OF_IMAGES = re.compile(r"tfdl\.models\.(convnets|detection|foundation|pose|segmentation|vision_transformers)\.")
OF_TOKENS = {
    "gpt": {},
    "llama": {},
    "bert": {"head": "classifier", "num_classes": CLASSES},
    "roberta": {"head": "classifier", "num_classes": CLASSES},
    "mixtral": {},
    "rnn": {"length": LENGTH},
    "fast_text": {"num_classes": CLASSES},
    "t5": {},
    "bart": {},
    "transformer": {},
    "seq2seq": {},
}
PAIRS = ("bart", "seq2seq", "t5", "transformer")  # read one text and write another
TOKENS = {"fast_text": 19, "rnn": 11, "seq2seq": 9}  # that the smallest variant knows; 61 if none is given
OF_NUMBERS = {
    "linear_forecaster": {"input_shape": (LENGTH, 2), "output_shape": (3, 2)},
    "pointnet": {"points": POINTS, "num_classes": CLASSES},
    "recurrent_regressor": {"input_shape": (LENGTH, 2)},
    "voxelnet": {"points": POINTS},
}
KEYS = [t.key for t in tfdl.topics(built=True) if t.is_model]
# The smallest variant of each model, and two in parts of their papers that are layers of our own.
NAMES = [*(f"{key}/nano" for key in KEYS), "lenet/original", "pointnet/nano_segmentation"]
FOUND = re.compile("found_|proposals")  # by suppression and the like: nothing is learned through that
BACKEND = keras.backend.backend()


def build(name):
    key, variant = name.split("/")
    options = OF_TOKENS.get(key, OF_NUMBERS.get(key))
    if options is None:
        options = {"image_shape": SHAPES.get(key, SHAPE)} | WITHOUT_CLASSES.get(key, {"num_classes": CLASSES})
    return tfdl.build(key, variant, **options)


def inputs(name, model):
    key, random = name.split("/")[0], np.random.default_rng(0)
    if key in OF_TOKENS:
        source, target = random.integers(1, TOKENS.get(key, 61), (2, BATCH, LENGTH)).astype("int32")
        return {"source": source, "target_in": target} if key in PAIRS else source
    return random.random((BATCH, *model.input.shape[1:]), dtype="float32")


def outputs(model, name):
    """{name of an output: array}."""
    found = model.predict(inputs(name, model), verbose=0)  # JAX compiles it whole, a fifth of its operations' time
    return found if isinstance(found, dict) else {"outputs": found}


def reference(name, file):
    """TensorFlow's outputs.  Yields (what, array)."""
    model, random = build(name), np.random.default_rng(1)
    model(inputs(name, model))
    for weight in model.trainable_weights:  # away from a start where whole branches are zero
        weight.assign(weight + random.normal(0, 0.05, weight.shape))
    tfdl.save_weights(model, f"{file}.safetensors")
    model.save(f"{file}.keras")
    yield from outputs(model, name).items()


def twin(name, file):
    """The same of another backend, and what else should run there.  Yields (what, array)."""
    model = tfdl.load_weights(build(name), f"{file}.safetensors")
    yield from outputs(model, name).items()
    for output, value in outputs(tfdl.load_model(f"{file}.keras"), name).items():
        yield f"loaded/{output}", value
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = tfdl.load_weights(build(name), f"{file}.safetensors")
    for output, value in outputs(model, name).items():
        yield f"mixed/{output}", value
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    yield "losses", losses(model, name)
    after = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    yield "still", [w.path for w, b, a in zip(model.trainable_weights, before, after) if np.array_equal(a, b)]


def losses(model, name):
    """Of two steps of `fit`: cross-entropy where the model says a class for each row or token, else squared error."""
    known, found = inputs(name, model), outputs(model, name)
    shape = found[next(iter(found))].shape
    if len(found) > 1:
        model = keras.Model(model.input, {k: v for k, v in model.output.items() if not FOUND.match(k)})
        labels = {k: np.ones_like(v) for k, v in found.items() if not FOUND.match(k)}
        loss = dict.fromkeys(labels, "mean_squared_error")
    elif name.split("/")[0] in ("linear_forecaster", "recurrent_regressor"):
        labels, loss = np.ones(shape), "mean_squared_error"
    else:
        tokens = known["target_in"] if isinstance(known, dict) else known
        of_tokens = tokens.dtype == "int32" and len(shape) == 3
        labels = tokens if of_tokens else np.arange(np.prod(shape[:-1])).reshape(shape[:-1]) % CLASSES
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss)
    return model.fit(known, labels, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history["loss"]


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
