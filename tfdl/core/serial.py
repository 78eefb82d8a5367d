"""Registration of classes and functions with Keras under the package name "tfdl", independent of module paths."""

import keras

serializable = keras.saving.register_keras_serializable(package="tfdl")
