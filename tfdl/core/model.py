"""Base class of subclassed models, which are built from one config and saved with it; inputs of their entry points."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

import keras

DTYPES = ("float32", "int32", "uint8", "bool", "string")  # that LiteRT's buffers take, and texts


class ConfiguredModel(keras.Model):
    """A `keras.Model` whose whole architecture is one `@config` object, `self.config`.

    Subclasses take `(config, **kwargs)` and need neither `get_config` nor `from_config`.

    A model with several entry points (a decoder with a cache, an encoder and a decoder, two towers) also has

        def signatures(self, *, cache_length=512):
            tokens = Argument((None, 1), "int32", range(self.config.vocabulary))
            return {"step": (self.step, {"tokens": tokens, ...}), ...}

    name -> (function, {input name: `Argument`}).  A function is called with its inputs by name and returns a dict of
    tensors, each with the batch as its first axis.  The keyword arguments of `signatures` are the sizes that are fixed
    in a file; each has a default.  `tfdl.export_model` writes all entry points, runs each and compares it.

    State, such as the keys and values of earlier tokens, is an input and an output of the same name and shape.  A
    program gives one buffer for both, so that no step copies it (docs/deployment.md has the figures).
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        self.config = config

    def get_config(self):
        return {"config": keras.saving.serialize_keras_object(self.config), "name": self.name}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("config")), **config)


class Writer:
    """The methods of a model that writes texts."""

    def generate(self, prompts, **options):
        """New tokens for each prompt: see `tfdl.inference.generation.generate`."""
        return importlib.import_module("tfdl.inference.generation").generate(self, prompts, **options)

    def beam_search(self, prompts, **options):
        """The likeliest of several hypotheses for each prompt: see `tfdl.inference.beam_search.beam_search`."""
        return importlib.import_module("tfdl.inference.beam_search").beam_search(self, prompts, **options)

    def contrastive_search(self, prompts, **options):
        """A text that does not repeat itself: see `tfdl.inference.contrastive_search.contrastive_search`."""
        module = importlib.import_module("tfdl.inference.contrastive_search")
        return module.contrastive_search(self, prompts, **options)

    def speculate(self, draft, prompts, **options):
        """What `generate` gives, guessed by a smaller model: see `tfdl.inference.speculative_decoding.speculate`."""
        return importlib.import_module("tfdl.inference.speculative_decoding").speculate(self, draft, prompts, **options)


class TextModel(Writer, ConfiguredModel):
    """A `ConfiguredModel` that writes texts."""


@dataclass(frozen=True)
class Argument:
    """One input of an entry point.

    Attributes:
        shape: None for the batch, then fixed sizes; () for one number for the whole batch, such as a position.
        dtype: of `DTYPES`.
        values: what its elements may be: `range(512)` for tokens, some typical texts for strings.  The export draws its
            samples from them.  Floats and bools need none: floats are drawn from [0, 1).

    Raises:
        ValueError: another shape or dtype, or integers or strings without values.
    """

    shape: tuple[int | None, ...]
    dtype: str = "float32"
    values: Sequence | None = None

    def __post_init__(self):
        batch, *sizes = self.shape or (None,)
        if batch is not None or not all(isinstance(size, int) and size >= 1 for size in sizes):
            raise ValueError(f"The shape of an input is {self.shape}; give (None, ...): the batch, then fixed sizes.")
        if self.dtype not in DTYPES:
            raise ValueError(f"The dtype of an input is {self.dtype!r}; choose from {', '.join(DTYPES)}.")
        if not self.values and self.dtype not in ("float32", "bool"):
            raise ValueError(
                f"An input of dtype {self.dtype} has no values; give what its elements may be, such as range(512) for "
                "tokens or a few texts."
            )
