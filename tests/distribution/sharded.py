"""A ViT and a decoder on 8 devices that JAX makes of one CPU, and on one of them.

Run as a program (devices must be made before JAX starts), with KERAS_BACKEND=jax:  python sharded.py RESULT.npz
One block each: most of the time goes into compiling.
"""

import contextlib
import dataclasses
import sys

import keras
import numpy as np

from tfdl.distribution.model_parallel import check_sharding, model_parallel, transformer_layout
from tfdl.layers.attention import SelfAttention
from tfdl.layers.transformer import pre_norm_block
from tfdl.models.vision_transformers.vit import VARIANTS, vit

VOCABULARY, LENGTH, BATCH = 11, 6, 8


def decoder():
    """Tokens (B, 6) -> logits (B, 6, 11); no token sees a later one."""
    visible = np.tril(np.ones((LENGTH, LENGTH), bool))
    tokens = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(VOCABULARY, 16, name="embedding")(tokens)
    attention = SelfAttention(4, name="block0_attention")
    x = pre_norm_block(x, lambda y: attention(y, visible=visible), epsilon=1e-6, name="block0")
    return keras.Model(tokens, keras.layers.Dense(VOCABULARY, name="logits")(x), name="decoder")


def images():
    return vit(dataclasses.replace(VARIANTS["nano"], depth=1), image_shape=(16, 16, 1), num_classes=5, normalize=None)


def examples(model):
    random = np.random.default_rng(0)
    if model.name == "decoder":
        tokens = random.integers(0, VOCABULARY, (BATCH, LENGTH + 1))
        return tokens[:, :-1], tokens[:, 1:]
    return random.random((BATCH, 16, 16, 1), "float32"), np.arange(BATCH) % 5


def train(build, distribution):
    """Logits before training, loss of two steps, and weights and optimizer state after them."""
    keras.utils.set_random_seed(0)
    with distribution.scope() if distribution else contextlib.nullcontext():
        model = build()
        x, y = examples(model)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5, momentum=0.9, name="sgd"), loss)
        result = {"logits": model.predict(x, batch_size=BATCH, verbose=0)}
        result["losses"] = np.array(
            model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, shuffle=False).history["loss"]
        )
        if distribution:
            check_sharding(model, transformer_layout(distribution.device_mesh))
    for v in [*model.weights, *model.optimizer.variables]:
        shards = v.value.addressable_shards
        result[f"weight {v.path}"] = np.asarray(v.value)
        result[f"shard {v.path}"] = np.array(shards[0].data.shape)
        result[f"devices {v.path}"] = np.array(len({shard.device for shard in shards}))
    return result


def complaint(function, *arguments):
    """What the function complains of."""
    try:
        function(*arguments)
    except ValueError as error:
        return np.array(str(error))
    return np.array("")


if __name__ == "__main__":
    distribution = model_parallel(batch=2, model=4)
    results = {}
    for name, build in {"vit": images, "decoder": decoder}.items():
        for devices, where in {"1": None, "8": distribution}.items():
            results |= {f"{name}/{devices}/{key}": value for key, value in train(build, where).items()}
    before = decoder()  # built without the distribution
    misspelled = transformer_layout(distribution.device_mesh)
    misspelled["up/kernel"] = (None, "model")
    results["complaints/built before"] = complaint(check_sharding, before, transformer_layout(distribution.device_mesh))
    with distribution.scope():
        results["complaints/misspelled"] = complaint(check_sharding, decoder(), misspelled)
    results["complaints/devices"] = complaint(model_parallel, 3, 4)
    np.savez(sys.argv[1], **results)
