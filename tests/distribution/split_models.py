"""Layers and models on one device and split over several logical CPUs: outputs, gradients, weights, errors, devices.

Run as a program (logical devices must be made before TensorFlow starts):
    python split_models.py tensor_parallel|pipeline RESULT.npz
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tfdl.distribution import placement, strategies, tensor_parallel
from tfdl.distribution.pipeline import Pipeline
from tfdl.layers.attention import SelfAttention
from tfdl.layers.transformer import FeedForward, pre_norm_block
from tfdl.models.vision_transformers.vit import vit

DEVICES = tuple(f"CPU:{i}" for i in range(4))
CAUSAL = np.tril(np.ones((5, 5), bool))
BY_HEAD = np.stack([CAUSAL, CAUSAL.T, CAUSAL | CAUSAL.T, np.eye(5, dtype=bool)])


def built(layer, shape):
    """With every weight random, biases included."""
    layer.build(shape)
    return shuffled(layer)


def shuffled(model):
    random = np.random.default_rng(1)
    model.set_weights([random.normal(size=w.shape, scale=0.3).astype("float32") for w in model.get_weights()])
    return model


def complaint(function):
    """What the function complains of."""
    try:
        function()
    except ValueError as error:
        return np.array(str(error))
    return np.array("")


# --- tensor parallelism --------------------------------------------------------------------------------------------


def blocks():
    """Name -> layer of width 8, devices, options of the call."""
    return {
        "attention": (SelfAttention(4), 2, {}),
        "attention, causal, no bias": (SelfAttention(4, use_bias=False), 4, {"visible": CAUSAL}),
        "attention, a mask each head": (SelfAttention(4), 2, {"visible": BY_HEAD}),
        "mlp": (FeedForward(1.5), 4, {}),
        "mlp, one device": (FeedForward(1.5), 1, {}),
        "dense pair": ([layers.Dense(6, "tanh"), layers.Dense(3, "sigmoid")], 3, {}),
    }


def of_block(layer, count, options):
    """Output, and gradients of the input and of the weights, of the layer and of its split."""
    whole = layer if isinstance(layer, list) else [layer]
    for part, width in zip(whole, (8, 6)):
        built(part, (None, 5, width))
    split = tensor_parallel.Split(layer, DEVICES[:count])
    x = tf.constant(np.random.default_rng(2).normal(size=(2, 5, 8)).astype("float32"))

    def unsplit(x):
        for part in whole:
            x = part(x, **options)
        return x

    @tf.function
    def differentiate(function, variables):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
            loss = tf.reduce_mean(tf.sin(3.0 * y))
        return y, *tape.gradient(loss, [x, *variables])

    variables = [v.value for part in whole for v in part.trainable_variables]
    y, dx, *dw = differentiate(unsplit, variables)
    result = {"y": y, "dx": dx} | {f"dw{i}": w for i, w in enumerate(dw)}
    merged = split.merged_weights()
    result |= {f"w{i}": np.abs(v - w).max() for i, (v, w) in enumerate(zip(variables, merged))}
    y, dx, *dw = differentiate(lambda x: split(x, **options), [v.value for v in split.trainable_variables])
    for variable, gradient in zip(split.trainable_variables, dw):
        variable.assign(gradient)
    result |= {"split y": y, "split dx": dx} | {f"split dw{i}": w for i, w in enumerate(split.merged_weights())}
    return result


def traffic(step):
    """How many tensors leave CPU:1 in a traced step: what it sends to others, gradients of its weights aside."""
    graph = tf.function(step).get_concrete_function().graph
    place = [(op, placement.name_of(op.device)) for op in graph.get_operations()]
    outputs = {y.op.name for y in graph.outputs}
    sent = {
        x.name
        for op, device in place
        for x in op.inputs
        if device != "CPU:1" and placement.name_of(x.op.device) == "CPU:1" and x.op.type != "ReadVariableOp"
        if op.name not in outputs
    }
    return len(sent), sorted({device for op, device in place if op.type in ("MatMul", "BatchMatMulV2")})


def images():
    return shuffled(vit("nano", image_shape=(16, 16, 1), num_classes=5, normalize=None))


def examples(count):
    return np.random.default_rng(3).random((count, 16, 16, 1), "float32"), np.arange(count) % 5


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9, name="sgd"), loss, metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return model


def fitted(model, x, y):
    """Logs of two epochs in batches of 4."""
    history = compiled(model).fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    return {f"log {name}": np.array(values) for name, values in history.items()}


def weights(model):
    return {f"weight {i}": w for i, w in enumerate(model.get_weights())}


def tensor_parallel_cases():
    results = {f"{name}/{key}": value for name, case in blocks().items() for key, value in of_block(*case).items()}
    model, x, y = images(), *examples(6)
    whole, split = compiled(model), compiled(tensor_parallel.split(model, DEVICES[:2]))
    for name, m in {"whole": whole, "split": split}.items():
        memory = placement.memory_per_device(DEVICES[:2], m, x, y)
        results |= {f"memory/{name} {d} {key}": size for d, row in memory.items() for key, size in row.items()}
    block = tensor_parallel.Split(model.get_layer("block0_mlp"), DEVICES[:2])
    tokens = tf.zeros((2, 5, 32))

    def step():
        with tf.GradientTape() as tape:
            tape.watch(tokens)
            y = block(tokens)
        return tape.gradient(y, [tokens, *[v.value for v in block.trainable_variables]])

    results["traffic/sent"], results["traffic/multiplying"] = traffic(step)
    results |= {f"fit/split {key}": value for key, value in fitted(split, *examples(8)).items()}
    results |= {f"fit/split {key}": value for key, value in weights(placement.copy_weights(split, images())).items()}
    results |= {f"fit/whole {key}": value for key, value in fitted(whole, *examples(8)).items()}
    results |= {f"fit/whole {key}": value for key, value in weights(whole).items()}

    frozen = built(FeedForward(2.0), (None, 5, 8))
    frozen.trainable = False
    results["frozen/trainable"] = len(tensor_parallel.Split(frozen, DEVICES[:2]).trainable_variables)

    two, three = DEVICES[:2], DEVICES[:3]
    attention, norm = built(SelfAttention(4), (None, 5, 8)), built(layers.LayerNormalization(), (None, 8))
    softmax = [built(layers.Dense(6, "softmax"), (None, 8)), built(layers.Dense(3), (None, 6))]
    decayed = [built(layers.Dense(6, kernel_regularizer="l2"), (None, 8)), built(layers.Dense(3), (None, 6))]
    plain = keras.Sequential([layers.Input((3,)), layers.Dense(2)], name="plain")
    refused = {
        "heads": lambda: tensor_parallel.Split(attention, three),
        "units": lambda: tensor_parallel.Split(built(FeedForward(1.25), (None, 5, 8)), three),
        "softmax": lambda: tensor_parallel.Split(softmax, two),
        "regularizer": lambda: tensor_parallel.Split(decayed, two),
        "dropout": lambda: tensor_parallel.Split(built(FeedForward(2.0, dropout=0.1), (None, 5, 8)), two),
        "unbuilt": lambda: tensor_parallel.Split(FeedForward(2.0, name="new"), two),
        "kind": lambda: tensor_parallel.Split(norm, two),
        "nothing": lambda: tensor_parallel.split(plain, two),
        "device": lambda: tensor_parallel.split(model, ("CPU:0", "CPU:7")),
        "twice": lambda: tensor_parallel.split(model, ("CPU:0", "CPU:0")),
    }
    return results | {f"refused/{name}": complaint(function) for name, function in refused.items()}


# --- pipeline ------------------------------------------------------------------------------------------------------


def chain():
    """Vectors (B, 6) -> logits (B, 5): two residual branches, and no weights in some layers."""
    x = vectors = keras.Input((6,))
    for i in range(2):
        y = layers.Activation("tanh")(layers.Dense(7 + i, name=f"up{i}")(x))
        x = layers.Add()([x, layers.Dense(6, name=f"down{i}")(y)])
    return shuffled(keras.Model(vectors, layers.Dense(5, name="logits")(x), name="chain"))


def decoder():
    """Tokens (B, 5) -> logits (B, 5, 5)."""
    tokens = keras.Input((5,), dtype="int32")
    attention = SelfAttention(2, name="block_attention")
    x = layers.Embedding(5, 8)(tokens)
    x = pre_norm_block(x, lambda y: attention(y, visible=CAUSAL), epsilon=1e-6, expansion=2.0, name="block")
    return shuffled(keras.Model(tokens, layers.Dense(5)(x), name="decoder"))


def normed(layer):
    vectors = keras.Input((6,))
    return keras.Model(vectors, layers.Dense(5)(layer(layers.Dense(6)(vectors))), name="normed")


def batch_for(model, count):
    random = np.random.default_rng(4)
    if model.name == "chain":
        return random.normal(size=(count, 6)).astype("float32"), random.integers(0, 5, count)
    if model.name == "decoder":
        return random.integers(0, 5, (count, 5)), random.integers(0, 5, (count, 5))
    return examples(count)


PIPELINES = {  # name -> model, samples, stages, micro-batches, remat; 7 samples in 3 micro-batches are 2, 2 and 3
    "chain": (chain, 7, 3, 3, False),
    "chain, remat": (chain, 7, 3, 3, True),
    "chain, one micro-batch": (chain, 7, 2, 1, False),
    "decoder": (decoder, 5, 2, 2, True),
    "vit": (images, 5, 2, 2, False),
}


def of_pipeline(make, count, stages, micro_batches, remat):
    """Loss, outputs and gradients of the model and of its pipeline, by the names of the weights."""
    model = compiled(make())
    pipeline = compiled(Pipeline(model, DEVICES[:stages], micro_batches=micro_batches, remat=remat))
    x, y = batch_for(model, count)
    weight = np.linspace(0.5, 1.5, count, dtype="float32") if model.name == "chain" else None

    def whole():
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight)
        return loss, outputs, tape.gradient(loss, [v.value for v in model.trainable_variables])

    result = {"weights on": [placement.name_of(v.value.device) for v in pipeline.trainable_variables]}
    result["optimizer on"] = [placement.name_of(v.value.device) for v in pipeline.optimizer.variables[2:]]  # momenta

    def split():
        loss, outputs, gradients = pipeline.loss_and_gradients(x, y, weight)
        result["gradients on"] = [placement.name_of(g.device) for g in gradients]
        return loss, outputs, gradients

    for name, m, step in (("", model, whole), ("split ", pipeline, split)):
        loss, outputs, gradients = tf.function(step)()
        result |= {f"{name}loss": loss, f"{name}outputs": outputs, f"{name}predicted": m(x)}
        for variable, gradient in zip(m.trainable_variables, gradients):
            result[f"{name}gradient of {variable.path}"] = tf.convert_to_tensor(gradient)
    result["stages"] = [stage.count_params() for stage in pipeline.stages]
    return result


def waits(model, x, y):
    """How many tensors are passed on only when another one is there."""
    graph = tf.function(lambda: model.loss_and_gradients(x, y)).get_concrete_function().graph
    return sum(op.type == "Identity" and bool(op.control_inputs) for op in graph.get_operations())


def pipeline_cases():
    results = {f"{name}/{key}": value for name, case in PIPELINES.items() for key, value in of_pipeline(*case).items()}
    whole, split = chain(), Pipeline(chain(), DEVICES[:2], micro_batches=2)
    x, y = batch_for(whole, 11)  # batches of 4, 4 and 3
    for name, m in {"whole": whole, "split": split}.items():
        results |= {f"fit/{name} {key}": value for key, value in fitted(m, x, y).items()}
    results |= {f"fit/whole {key}": value for key, value in weights(whole).items()}
    results |= {f"fit/split {key}": value for key, value in weights(placement.copy_weights(split, chain())).items()}

    model = chain()
    x, y = batch_for(model, 32)
    for name, micro_batches, remat in (("2", 2, False), ("8", 8, False), ("8 remat", 8, True)):
        split = compiled(Pipeline(model, DEVICES[:2], micro_batches=micro_batches, remat=remat))
        memory = placement.memory_per_device(DEVICES[:2], split, x, y)
        results[f"memory/{name} waits"] = waits(split, x, y)
        results |= {f"memory/{name} {d} {key}": size for d, row in memory.items() for key, size in row.items()}
    results["memory/idle"] = split.idle_fraction

    def of(model, count=2, **options):
        return Pipeline(model, DEVICES[:count], **{"micro_batches": 2} | options)

    shared, vectors = layers.Dense(6, name="shared"), keras.Input((6,))
    decayed = compiled(of(normed(layers.Dense(6, kernel_regularizer="l2"))))
    refused = {
        "devices": lambda: of(keras.Sequential([layers.Input((6,)), layers.Dense(6), layers.Dense(5)], name="two"), 3),
        "micro-batches": lambda: of(model, micro_batches=0),
        "batch": lambda: compiled(of(model, micro_batches=8)).loss_and_gradients(x[:7], y[:7]),
        "shared": lambda: of(keras.Model(vectors, shared(shared(vectors)), name="tied")),
        "unbuilt": lambda: of(keras.Sequential([layers.Dense(6), layers.Dense(5)], name="new")),
        "dropout": lambda: of(normed(layers.Dropout(0.5)), remat=True),
        "batch norm": lambda: of(normed(layers.BatchNormalization()), remat=True),
        "regularizer": lambda: decayed.loss_and_gradients(x, y),
    }
    results |= {f"refused/{name}": complaint(function) for name, function in refused.items()}
    results["refused/nothing"] = complaint(lambda: of(normed(layers.Dropout(0.5))))
    return results


if __name__ == "__main__":
    strategies.split_cpu(len(DEVICES))
    cases = {"tensor_parallel": tensor_parallel_cases, "pipeline": pipeline_cases}
    np.savez(sys.argv[2], **cases[sys.argv[1]]())
