"""One name for Keras's object registry, so that saved files never depend on module paths."""

import keras

serializable = keras.saving.register_keras_serializable(package="tfdl")
