"""Fine-tuning: what a network learned elsewhere stays, or changes slowly.

    tfdl.load_weights(model, "runs/NAME", skip_head=True)       # features of another task, a new head
    freeze(model); model.compile(...)                           # train the head alone, or
    model.compile(...); discriminative_rates(model, factor=2.6)  # everything, the slower the nearer to the pixels

Yosinski et al. 2014, arXiv:1411.1792, section 2; Howard & Ruder 2018, arXiv:1801.06146, section 3.2.
"""

import keras


def split(model):
    """(features, head): the layers up to the last one with weights that still says where, and those behind it.

    What says where are maps (B, H, W, C) and tokens (B, N, C).  Behind them everything has one vector per image:
    pooling, dropout and the dense layers up to the logits.

    Raises:
        ValueError: the model is no chain or graph of layers, or one of the two parts would have no weights.
    """
    layers = model.layers
    try:
        ranks = [len(keras.tree.flatten(layer.output)[0].shape) for layer in layers]
    except AttributeError:
        raise ValueError(
            f"The layers of {model.name!r} have no outputs of their own; give a model from tfdl.build, keras.Sequential"
            " or keras.Model(inputs, outputs)."
        ) from None
    places = [i for i, (layer, rank) in enumerate(zip(layers, ranks)) if rank > 2 and layer.weights]
    end = places[-1] + 1 if places else 0
    features, head = layers[:end], layers[end:]
    if not features or not any(layer.weights for layer in head):
        part = "features: no layer with weights gives maps or tokens" if not features else "head with weights"
        raise ValueError(f"{model.name!r} has no {part}; build it with num_classes, from images.")
    return features, head


def freeze(model):
    """Makes the features of `model` a fixed function, the one that they are in inference; only the head learns.

    Their weights get no gradient.  BatchNorm normalizes by its moving statistics, which stay, as Keras does it where
    `trainable` is False; dropout and stochastic depth rest as well, which Keras leaves on.  Like the step of `exact`
    the last is not saved with the model.

    Returns:
        the model.

    Raises:
        ValueError: the model is compiled already, or see `split`.
    """
    if model.compiled:
        raise ValueError(f"{model.name!r} is compiled with the weights that it trains; freeze it before.")
    features, _ = split(model)
    for layer in features:
        layer.trainable = False
        for part in layer._flatten_layers():
            if part._call_has_training_arg:
                part.call = in_inference(part.call)
    return model


def in_inference(call):
    """A layer's `call` that takes no notice of `training`."""

    def fixed(*inputs, training=None, **options):
        return call(*inputs, training=False, **options)

    return fixed


def discriminative_rates(model, *, factor=2.6, groups=4):
    """Gives each weight of a compiled `model` the learning rate times its `multipliers`; returns the model.

    Decoupled weight decay goes with the rate; clipping, averages (EMA) and schedules see what they saw before.  It
    binds to the optimizer and is, like the step of `exact`, not saved with the model.

    Raises:
        ValueError: the model isn't compiled, has such rates already, or see `multipliers`.
    """
    if not model.compiled:
        raise ValueError(f"{model.name!r} has no optimizer yet; compile it before the rates are set.")
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if "update_step" in vars(optimizer):
        raise ValueError(f"The optimizer of {model.name!r} has rates of its own already; compile the model anew.")
    slow_down(optimizer, model.trainable_variables, multipliers(model, factor=factor, groups=groups))
    return model


def multipliers(model, *, factor, groups):
    """factor^(l - L) for each of `model.trainable_variables`, which is of group l of L; Howard & Ruder, section 3.2.

    Group L is the head; the others share the features, each about the same number of layers with weights.

    Args:
        factor: by which a group is slower than the one above it, >= 1; the paper found 2.6 for the layers of an LSTM.
        groups: L >= 2.

    Raises:
        ValueError: an argument out of its range, or see `split`.
    """
    if factor < 1:
        raise ValueError(f"factor={factor} would make layers near the pixels faster than the head; give 1 or more.")
    if groups < 2:
        raise ValueError(f"groups={groups} leaves nothing to tell apart; give 2 or more.")
    weighted = [layer for layer in reversed(split(model)[0]) if layer.weights]
    below = {id(v): 1 + i * (groups - 1) // len(weighted) for i, layer in enumerate(weighted) for v in layer.weights}
    return [factor ** -below.get(id(v), 0) for v in model.trainable_variables]  # 0 groups below the head: the head


def slow_down(optimizer, variables, factors):
    """From now on `optimizer` updates these `variables` only, each at its share, one of `factors`, of the rate."""
    factor = {optimizer._var_key(v): f for v, f in zip(variables, factors)}
    update_step = optimizer.update_step

    def slower(gradient, variable, learning_rate):
        rate = learning_rate * factor[optimizer._var_key(variable)]
        if optimizer.weight_decay and optimizer._use_weight_decay(variable):
            optimizer.assign_sub(variable, variable * (rate * optimizer.weight_decay))
        update_step(gradient, variable, rate)

    optimizer.update_step = slower
    optimizer._apply_weight_decay = lambda variables: None  # Keras's knows one rate only; `slower` has done it
