"""Base class of subclassed models, which are built from one config and saved with it."""

import keras


class ConfiguredModel(keras.Model):
    """A `keras.Model` whose whole architecture is one `@config` object, `self.config`.

    Subclasses take `(config, **kwargs)` and need neither `get_config` nor `from_config`.
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
