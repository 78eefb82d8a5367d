"""tfdl: deep learning from the perceptron to the phone.

The public names load when they are first used (PEP 562), so `import tfdl` costs milliseconds:

    tfdl.topics(stage=2)                      what there is
    tfdl.build("mobilenet", "v2", ...)        a network
    tfdl.Run(...)                             how to run: seed, precision, strategy, folder, resume
    tfdl.load(source).predict(paths)          answers of a run, an export, a .tflite, a .keras or a SavedModel
    tfdl.load_model(file)                     the Keras model in a .keras file, with our layers
    tfdl.load_weights(model, file, layout="torchvision")   other libraries' weights; save_weights is the inverse
    tfdl.export_model(model, folder)          SavedModel and TFLite, checked
    tfdl.verify_export(folder)                the same checks, later
"""

import importlib
from typing import TYPE_CHECKING

from tfdl.core import quiet

if TYPE_CHECKING:  # the same names as below, for type checkers and editors
    from tfdl.catalog import build, topics
    from tfdl.core.saved import load_model
    from tfdl.export.exporter import export_model
    from tfdl.export.verify import verify_export
    from tfdl.inference.source import load
    from tfdl.interop.weights import load_weights, save_weights
    from tfdl.session.command_line import launch
    from tfdl.session.run import Run

HOMES = {
    "Run": "tfdl.session.run",
    "build": "tfdl.catalog",
    "export_model": "tfdl.export.exporter",
    "launch": "tfdl.session.command_line",
    "load": "tfdl.inference.source",
    "load_model": "tfdl.core.saved",
    "load_weights": "tfdl.interop.weights",
    "save_weights": "tfdl.interop.weights",
    "topics": "tfdl.catalog",
    "verify_export": "tfdl.export.verify",
}

__all__ = [
    "Run",
    "__version__",
    "build",
    "export_model",
    "launch",
    "load",
    "load_model",
    "load_weights",
    "save_weights",
    "topics",
    "verify_export",
]

quiet.install()


if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name):
        if name in HOMES:
            return getattr(importlib.import_module(HOMES[name]), name)
        if name == "__version__":
            return importlib.import_module("importlib.metadata").version("tfdl")
        raise AttributeError(f"module 'tfdl' has no attribute {name!r}; its public names are {', '.join(__all__)}.")


def __dir__():
    return sorted(__all__)
