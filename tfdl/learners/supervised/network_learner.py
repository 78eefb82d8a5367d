"""What learners around one network share: it has the outputs that they need, and is saved with them.

Source: the guide of `keras.Model`, "Customizing what happens in fit".
"""

import keras


class NetworkLearner(keras.Model):
    """Abstract: a network with a loss.  Its inputs, outputs and layers are the network's own.

    Args:
        network: functional, with one input and the outputs that `OUTPUTS` names.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ()

    def __init__(self, network, *, name=None, **kwargs):
        outputs = self.outputs_of(network)
        if not isinstance(outputs, dict) or not set(self.OUTPUTS) <= outputs.keys():
            raise ValueError(
                f"{type(self).__name__} needs a network with the outputs {', '.join(self.OUTPUTS)};"
                f" {network.name!r} has {', '.join(outputs) if isinstance(outputs, dict) else 'one without a name'}."
            )
        super().__init__(inputs=network.inputs[0], outputs=outputs, name=name or network.name, **kwargs)
        self.network = network

    def outputs_of(self, network):
        """What the learner puts out: what the network does, and what a learner makes of it for its users."""
        return network.output

    def get_config(self):
        return {"network": keras.saving.serialize_keras_object(self.network), "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)
