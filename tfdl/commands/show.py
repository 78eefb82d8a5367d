"""`tfdl show KEY`: a topic's source, code, published weights, place on the learning path, and command.

With --flops: the parameters and multiply-adds of a model's variants.
"""

import argparse
import ast
import dataclasses
import gc
import importlib
import textwrap
from pathlib import Path

from tfdl.catalog import ALIASES, STAGES, find, following
from tfdl.core.names import nearest
from tfdl.interop.presets import of_variants

ROOT = Path(__file__).resolve().parent.parent.parent
WIDTH = 100  # columns of a terminal


def main(argv):
    parser = argparse.ArgumentParser(
        prog="tfdl show", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("key", help="as `tfdl list` prints it, or another name such as transfer_learning")
    parser.add_argument("--flops", action="store_true", help="count parameters and multiply-adds of each variant")
    parser.add_argument("--variant", help="with --flops: only this variant")
    parser.add_argument("--image-size", type=int, help="with --flops: pixels a side; default: the variant's own")
    args = parser.parse_args(argv)
    if (args.variant or args.image_size) and not args.flops:
        raise ValueError("--variant and --image-size say what to count; add --flops.")
    topic = find(args.key)
    if not args.flops:
        print(card(topic))
        return 0
    for line in costs(topic, args.variant, args.image_size):
        print(line, flush=True)
    return 0


# --- the card --------------------------------------------------------------------------------------------------------


def card(topic):
    """Everything about one topic, as lines of at most WIDTH columns."""
    rows = [("key", topic.key)]
    names = [alias for alias, key in ALIASES.items() if key == topic.key]
    rows += [("also called", ", ".join(names))] if names else []
    rows += [("stage", f"{topic.stage} {STAGES[topic.stage]}: {topic.section}"), ("source", topic.source)]
    if topic.module:
        rows.append(("file", file_of(topic)))
        found = variants(source_of(topic))
        rows += [("variants", ", ".join(found))] if found else []
    if topic.is_model:
        rows.append(("python", f'tfdl.build("{topic.key}")'))
        rows += weights(topic.key)
    after = following(topic)
    rows.append(("prerequisites", ", ".join(topic.prerequisites) or "none"))
    rows.append(("next topic", named(after) if after else "none: this is the last"))
    rows.append(("command", topic.recipe or ("-" if topic.built else "not built yet")))
    if topic.minutes:
        rows.append(("minutes", f"about {topic.minutes}, on two CPU cores"))
    return "\n".join([topic.title, *(line for name, value in rows for line in wrapped(name, value))])


def named(topic):
    return topic.key if topic.built else f"{topic.key} (not built yet)"


def weights(key):
    """Rows of published weights, one for each variant that has any."""
    found = of_variants(key)
    if not found:
        return []
    name = next(iter(found.values()))[0]
    rows = [("weights", f'tfdl.build("{key}", weights="{name}"), and for')]
    return rows + [("", f"{variant}: {', '.join(names)}") for variant, names in found.items()]


def wrapped(name, value):
    return textwrap.wrap(
        value,
        WIDTH,
        initial_indent=f"  {name:<13} ",
        subsequent_indent=" " * (16 if name else 20),
        break_long_words=False,
        break_on_hyphens=False,
    )


def file_of(topic):
    return topic.module.replace(".", "/") + ".py"


def source_of(topic):
    return (ROOT / file_of(topic)).read_text(encoding="utf-8")


# --- the costs -------------------------------------------------------------------------------------------------------


def costs(topic, variant=None, image_size=None):
    """Images, parameters, multiply-adds and megabytes of each variant, or of one: a line at a time, as counted.

    Nothing takes memory but the line: the models are outlines without values.  Loading TensorFlow takes most of the
    time; what can be refused is refused before.

    Raises:
        ValueError: no image model, an unknown variant, or images that do not fit one.
    """
    source = source_of(topic) if topic.is_model else ""
    if not takes_images(source, topic.key):
        raise ValueError(f"--flops counts image models that are built, and {topic.title} ({topic.key!r}) is none.")
    names = variants(source)
    if variant and variant not in names:
        raise ValueError(
            f"{topic.key} has no variant {variant!r}; it has {', '.join(names)}. The nearest are"
            f" {nearest(variant, names)}."
        )
    if image_size is not None and image_size < 1:
        raise ValueError(f"--image-size must be a number of pixels, at least 1; it is {image_size}.")
    return counted(topic, [variant] if variant else names, max(map(len, names)), image_size)


def counted(topic, names, width, image_size):
    def line(name, *cells):
        return f"{name:<{width}}" + "".join(f"  {cell:>{size}}" for cell, size in zip(cells, (13, 11, 14, 13)))

    yield line("variant", "image", "parameters", "multiply-adds", "MB as float32")
    gc.disable()  # a quarter of the time of building a model went into looking for garbage
    try:
        from tfdl.core.outline import multiply_adds, outline, parameters

        module = importlib.import_module(topic.module)
        builder, known = getattr(module, topic.key), {}
        for name in names:
            usual = {"image_shape": builder.__kwdefaults__["image_shape"]}
            arguments = usual | getattr(module, "CANONICAL", {}).get(name, {})
            if image_size:
                arguments["image_shape"] = (image_size, image_size, arguments["image_shape"][-1])
            alike = (what_counts(module.VARIANTS[name]), *arguments.items())
            if alike not in known:
                model = outline(builder, name, **arguments)
                known[alike] = parameters(model), multiply_adds(model), 4e-6 * model.count_params()
            image = " x ".join(map(str, arguments["image_shape"]))
            yield line(name, image, *("{:,} {:,} {:,.2f}".format(*known[alike]).split()))
    finally:
        gc.enable()


def what_counts(config):
    """The fields of a variant that change parameters or multiply-adds: b0 and b0_keras are counted once."""
    without = {"dropout", "drop_path", "epsilon", "input_dropout", "momentum", "padding", "zeros"}
    return tuple(getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in without)


def takes_images(source, name):
    """True if the function `name` in a module's text has an argument image_shape with a default."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            defaults = zip(node.args.kwonlyargs, node.args.kw_defaults)
            return any(argument.arg == "image_shape" and default for argument, default in defaults)
    return False


def variants(source):
    """The names in a module's `VARIANTS`, read from its text, because importing it would load Keras.

    Sees `VARIANTS = {"a": ...}`, `VARIANTS |= {"b": ...}` and `VARIANTS["c"] = ...` at the top level.
    """
    names = []
    for node in ast.parse(source).body:
        for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
            if isinstance(target, ast.Name) and target.id == "VARIANTS" and isinstance(node.value, ast.Dict):
                names += [key.value for key in node.value.keys if isinstance(key, ast.Constant)]
            elif isinstance(target, ast.Subscript) and ast.unparse(target.value) == "VARIANTS":
                names += [target.slice.value] if isinstance(target.slice, ast.Constant) else []
    return names
