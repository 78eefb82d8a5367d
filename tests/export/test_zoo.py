"""Every image classifier in its canonical sizes becomes a TFLite file that computes the same."""

import gc
import importlib

import keras
import numpy as np
import pytest

import tfdl
from tests.harness import CLASSIFIERS, MODELS, colored
from tfdl.export.graph import graph
from tfdl.export.parity import TOLERANCES, compare, failures
from tfdl.export.signatures import evaluate, signature_of
from tfdl.export.tflite import convert_float, run_tflite

SIDE = 64  # pixels, where the variant is for larger ones: fewer sums, the same operators


def zoo():
    """(key, variant, arguments of the builder) of every classifier, but for the nano ones, which the suite exports."""
    for key in CLASSIFIERS:
        module = importlib.import_module(MODELS[key])
        defaults = getattr(module, key).__kwdefaults__
        for variant in list(module.VARIANTS)[1:]:
            arguments = getattr(module, "CANONICAL", {}).get(variant, {})
            *sides, channels = arguments.get("image_shape", defaults["image_shape"])
            arguments = arguments | {"image_shape": (*(min(side, SIDE) for side in sides), channels)}
            yield pytest.param(key, variant, arguments, id=f"{key}-{variant}")


@pytest.fixture(autouse=True)
def memory():
    """Given back after each network; 76 of them would need more than a machine has."""
    yield
    keras.backend.clear_session()
    gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("key, variant, arguments", zoo())
def test_phone_computes_what_the_model_does(key, variant, arguments):
    keras.utils.set_random_seed(0)
    model = tfdl.build(key, variant, **arguments)
    images = {"images": colored(2, *arguments["image_shape"])}
    level(model, images["images"])
    live, module = evaluate(model, images), graph(model, signature_of(model))
    first, second = live["logits"]
    assert np.abs(first - second).max() > 1e-2 * np.abs(first).max(), "it tells no images apart: nothing is compared"
    for form, half in (("tflite", False), ("tflite_float16", True)):
        outputs = run_tflite(convert_float(module, half=half), images)  # refuses all but built-in operators
        found = compare(outputs, live)
        print(key, variant, form, found, "of logits up to", np.abs(live["logits"]).max())
        assert not failures(found, TOLERANCES[form])


def level(model, images):
    """All gammas of BatchNorm times one number, so that the logits of random weights neither vanish nor explode.

    EfficientNet's start at 1e-16, where no difference would show.  Moving statistics of real images would level them
    too, but they make a deep random network chaotic: every weight rounded to half precision shows.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for _ in range(5 * bool(norms)):
        scale = np.clip(np.abs(model(images)).max(), 1e-30, 1e30)
        for norm in norms:
            norm.gamma.assign(norm.gamma * scale ** (-1 / len(norms)))
