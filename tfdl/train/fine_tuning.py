"""Fine-tuning: pretrained features are frozen, or trained with smaller learning rates than the head.

    tfdl.load_weights(model, "runs/NAME", skip_head=True)       # features of another task, a new head
    freeze(model); model.compile(...)                           # train the head alone, or
    model.compile(...); set_layer_wise_learning_rates(model)    # everything, layers near the pixels more slowly

Yosinski et al. 2014, arXiv:1411.1792, section 2; Howard & Ruder 2018, arXiv:1801.06146, section 3.2 ("discriminative
fine-tuning").
"""

import keras


def split(model):
    """(features, head): the layers up to the last one with weights whose output has positions, and the layers after it.

    Outputs with positions are maps (B, H, W, C) and tokens (B, N, C).  The layers after them have one vector per image:
    pooling, dropout and the dense layers up to the logits.

    Raises:
        ValueError: the model is not a sequence or graph of layers, or one of the two parts would have no weights.
    """
    layers = model.layers
    try:
        ranks = [len(keras.tree.flatten(layer.output)[0].shape) for layer in layers]
    except AttributeError:
        raise ValueError(
            f"The layers of {model.name!r} are not a graph with outputs; give a model from tfdl.build,"
            " keras.Sequential or keras.Model(inputs, outputs)."
        ) from None
    places = [i for i, (layer, rank) in enumerate(zip(layers, ranks)) if rank > 2 and layer.weights]
    end = places[-1] + 1 if places else 0
    features, head = layers[:end], layers[end:]
    if not features or not any(layer.weights for layer in head):
        part = "features: no layer with weights returns maps or tokens" if not features else "head with weights"
        raise ValueError(f"{model.name!r} has no {part}; build a classifier of images, with num_classes.")
    return features, head


def freeze(model):
    """Freezes the features of `model` in inference mode, so that only the head is trained.

    Their weights get no gradient.  BatchNorm normalizes by its moving statistics, which do not change, as always in
    Keras when `trainable` is False; dropout and stochastic depth, which Keras leaves on, are turned off as well.  Like
    the step of `exact`, this last change is not saved with the model.

    Returns:
        the model.

    Raises:
        ValueError: the model is already compiled, or see `split`.
    """
    if model.compiled:
        raise ValueError(f"{model.name!r} is already compiled; freeze it before compile, which selects its weights.")
    features, _ = split(model)
    for layer in features:
        layer.trainable = False
        for part in layer._flatten_layers():
            if part._call_has_training_arg:
                part.call = in_inference(part.call)
    return model


def in_inference(call):
    """A layer's `call`, always in inference mode."""

    def fixed(*inputs, training=None, **options):
        return call(*inputs, training=False, **options)

    return fixed


def set_layer_wise_learning_rates(model, *, factor=2.6, groups=4):
    """Multiplies the learning rate of each weight of a compiled `model` by its `multipliers`; returns the model.

    Decoupled weight decay is scaled with the learning rate; clipping, averages (EMA) and schedules are not affected.
    The change is bound to the optimizer and, like the step of `exact`, not saved with the model.

    Raises:
        ValueError: the model isn't compiled, already has such learning rates, or see `multipliers`.
    """
    if not model.compiled:
        raise ValueError(f"{model.name!r} has no optimizer yet; compile it before setting layer-wise learning rates.")
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if "update_step" in vars(optimizer):
        raise ValueError(f"{model.name!r} already has layer-wise learning rates; compile it again to change them.")
    scale_updates(optimizer, model.trainable_variables, multipliers(model, factor=factor, groups=groups))
    return model


def multipliers(model, *, factor, groups):
    """factor^(l - L) for each of `model.trainable_variables`, where l is its group of L; Howard & Ruder, section 3.2.

    Group L is the head; the features are divided into the others, with about the same number of layers with weights.

    Args:
        factor: ratio of the learning rates of successive groups, >= 1; the paper found 2.6 for the layers of an LSTM.
        groups: L >= 2.

    Raises:
        ValueError: an argument out of its range, or see `split`.
    """
    if factor < 1:
        raise ValueError(f"factor={factor} would train layers near the pixels faster than the head; give 1 or more.")
    if groups < 2:
        raise ValueError(f"groups={groups} would give all layers the same learning rate; give 2 or more.")
    weighted = [layer for layer in reversed(split(model)[0]) if layer.weights]
    below = {id(v): 1 + i * (groups - 1) // len(weighted) for i, layer in enumerate(weighted) for v in layer.weights}
    return [factor ** -below.get(id(v), 0) for v in model.trainable_variables]  # 0 groups below the head: the head


def scale_updates(optimizer, variables, factors):
    """Makes `optimizer` update these `variables` only, each with the learning rate times its entry of `factors`."""
    factor = {optimizer._var_key(v): f for v, f in zip(variables, factors)}
    update_step = optimizer.update_step

    def scaled_update(gradient, variable, learning_rate):
        rate = learning_rate * factor[optimizer._var_key(variable)]
        if optimizer.weight_decay and optimizer._use_weight_decay(variable):
            optimizer.assign_sub(variable, variable * (rate * optimizer.weight_decay))
        update_step(gradient, variable, rate)

    optimizer.update_step = scaled_update
    optimizer._apply_weight_decay = lambda variables: None  # Keras's uses a single learning rate; done above instead
