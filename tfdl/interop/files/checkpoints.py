"""The weights within what a trainer saved: the network, its moving average, and much else beside them.

| trainer                       | network                    | moving average (EMA)             |
|-------------------------------|----------------------------|----------------------------------|
| torch.save(model.state_dict())| the file itself            |                                  |
| PyTorch's ImageNet example    | state_dict                 |                                  |
| torchvision's references      | model                      | model_ema                        |
| timm                          | state_dict                 | state_dict_ema                   |
| Lightning                     | state_dict                 |                                  |
"""

from collections.abc import Mapping

NETWORK = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "module", "params", "weights")
AVERAGE = ("model_ema", "state_dict_ema", "ema_state_dict", "ema_model", "ema", "params_ema")
DEPTH = 3  # dictionaries within dictionaries that are searched


def state_dictionary(content, ema=False):
    """Name -> array or tensor of the network in `content`, or of its moving average; and what to tell the user, or "".

    Raises:
        ValueError: there are no tensors, or with `ema` no moving average.
    """
    if not isinstance(content, Mapping):
        kind = getattr(content, "name", type(content).__name__).rpartition(".")[2]
        raise ValueError(f"it holds a pickled {kind}, not a dictionary of tensors: save model.state_dict() instead")
    average = inside(content, AVERAGE)
    if ema:
        if average is None:
            raise ValueError(f"it holds no moving average; its keys are {', '.join(map(str, list(content)[:8]))}")
        return average, ""
    network = inside(content, NETWORK) or tensors(content)
    if not network:
        keys = ", ".join(map(str, list(content)[:8]))
        raise ValueError(f"it holds no dictionary of tensors; its keys are {keys or '(none)'}")
    if average is None:
        return network, ""
    return network, "The file also holds a moving average of the weights (EMA); ema=True loads that instead."


def inside(content, keys, depth=DEPTH):
    """The tensors below the first of `keys` that has any, at any depth, or None."""
    for key in keys:
        value = content.get(key)
        if isinstance(value, Mapping) and depth:
            found = inside(value, NETWORK, depth - 1) or tensors(value)
            if found:
                return found
    return None


def tensors(content):
    """The entries with a shape, which numbers, texts and settings have not."""
    found = {name: value for name, value in content.items() if hasattr(value, "shape")}
    has_axes = any(len(value.shape) for value in found.values())  # an accuracy may be stored as a tensor without any
    return found if has_axes else {}
