"""Which values of a flag make sense: checked once for all recipes, before anything is read or written."""

import math

from tfdl.core.names import is_writable

# Flag -> (smallest, largest, what to give).  Flags of the same meaning have the same name in every recipe.
LIMITS = {
    "epochs": (1, 10**6, "1 epoch or more"),
    "first_epochs": (1, 10**6, "1 epoch or more"),
    "batch_size": (1, 10**6, "1 example or more"),
    "image_size": (1, 10**4, "a side from 1 to 10000 pixels"),
    "learning_rate": (1e-12, 1e6, "a number above 0, such as 0.001"),
    "weight_decay": (0.0, 1e3, "0 or more, such as 0.05"),
    "label_smoothing": (0.0, 0.999, "a fraction from 0 to below 1"),
    "word_dropout": (0.0, 0.999, "a fraction from 0 to below 1"),
    "dropout": (0.0, 0.999, "a fraction from 0 to below 1"),
    "augmentation": (0.0, 1.0, "a fraction from 0 to 1"),
    "fraction": (1e-9, 1.0, "a fraction above 0 and up to 1"),
    "patience": (1, 10**6, "1 epoch or more"),
    "samples": (1, 10**9, "1 or more"),
    "layers": (1, 10**4, "1 or more"),
    "depth": (1, 10**4, "1 or more"),
    "width": (1, 10**6, "1 or more"),
    "run.seed": (0, 2**31 - 1, f"a whole number from 0 to {2**31 - 1}"),
    "run.accumulate": (1, 10**6, "1 micro-batch per update or more"),
}


def check_flags(flags):
    """Raises ValueError for a number that is out of its flag's range or not finite, and for a text that is no UTF-8.

    Args:
        flags: flat dict, such as {"epochs": 12, "run.seed": 0}; None stands for "not given".
    """
    for name, value in flags.items():
        if isinstance(value, str) and not is_writable(value):
            raise ValueError(
                f"--{name.replace('_', '-')} is {value!r}; give a text without line breaks or broken bytes."
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        lowest, highest, remedy = LIMITS.get(name, (-math.inf, math.inf, "a finite number"))
        if not (math.isfinite(value) and lowest <= value <= highest):
            raise ValueError(f"--{name.replace('_', '-')} is {value}; give {remedy}.")
