"""tfdl: deep learning from the perceptron to the phone.

The public names load when they are first used (PEP 562), so `import tfdl` costs milliseconds:

    tfdl.topics(stage=2)                      what there is
    tfdl.build("mobilenet", "v2", ...)        a network
    tfdl.Run(...)                             how to run: seed, precision, strategy, folder, resume
    tfdl.export_model(model, folder)          SavedModel and TFLite, checked
    tfdl.verify_export(folder)                the same checks, later
"""

import importlib

from tfdl.core import quiet

HOMES = {
    "Run": "tfdl.train.run",
    "build": "tfdl.catalog",
    "export_model": "tfdl.export.exporter",
    "topics": "tfdl.catalog",
    "verify_export": "tfdl.export.verify",
}
UNBUILT = {"load_weights": "tfdl.interop", "save_weights": "tfdl.interop"}

__all__ = ["Run", "__version__", "build", "export_model", "topics", "verify_export"]

quiet.install()


def __getattr__(name):
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("tfdl")
    if name in UNBUILT:
        raise AttributeError(
            f"tfdl.{name} comes with {UNBUILT[name]}, which is not built yet; see `tfdl list --unbuilt`."
        )
    raise AttributeError(f"module 'tfdl' has no attribute {name!r}; its public names are {', '.join(__all__)}.")


def __dir__():
    return sorted(__all__)
