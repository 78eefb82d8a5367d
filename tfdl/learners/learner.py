"""What learners share: they are saved with their networks, and around a language model they write with it.

Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5, for the order of the methods: instruction tuning, reward
model, PPO.
"""

import inspect

import keras


class Learner(keras.Model):
    """Abstract: a model around networks that are given to it and are built.

    Each argument of a constructor is kept as the attribute of its name, and is saved with the learner.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def get_config(self):
        names = [name for name in inspect.signature(type(self)).parameters if name != "kwargs"]
        arguments = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return arguments | {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


class TextLearner(Learner):
    """Abstract: a learner that teaches `network`, a language model.

    A file that `save` writes is a language model too: `tfdl generate` and `generate` use its network.
    """

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        self.network = network

    @property
    def config(self):
        return self.network.config

    def generate(self, prompts, **options):
        """New tokens for each prompt: see `tfdl.inference.generation.generate`."""
        return self.network.generate(prompts, **options)

    def beam_search(self, prompts, **options):
        """See `tfdl.inference.beam_search.beam_search`."""
        return self.network.beam_search(prompts, **options)


def frozen_copy(network):
    """A network with the same weights that is never trained, such as a reference."""
    copy = type(network).from_config(network.get_config())
    if not copy.built:
        copy.build_from_config(network.get_build_config())
    copy.set_weights(network.get_weights())
    copy.trainable = False
    return copy
