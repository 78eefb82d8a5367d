"""`tfdl show KEY`: where a topic comes from, where its code is, and how to run it; with --flops, what a model costs."""

import argparse
import ast
import importlib
from pathlib import Path

from tfdl.catalog import STAGES, find

ROOT = Path(__file__).resolve().parent.parent.parent


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl show", description=__doc__)
    parser.add_argument("key", help="as `tfdl list` prints it")
    parser.add_argument("--flops", action="store_true", help="parameters and multiply-adds of a model's variants")
    parser.add_argument("--variant", help="with --flops: only this one")
    parser.add_argument("--image-size", type=int, help="with --flops: pixels a side; else what a variant was made for")
    args = parser.parse_args(argv)
    if (args.variant or args.image_size) and not args.flops:
        raise ValueError("--variant and --image-size say what to count; add --flops.")
    topic = find(args.key)
    print(costs(topic, args.variant, args.image_size) if args.flops else card(topic))
    return 0


def card(topic):
    """One topic as aligned lines."""
    rows = {"key": topic.key, "stage": f"{topic.stage} {STAGES[topic.stage]}: {topic.section}", "source": topic.source}
    if topic.module:
        file = topic.module.replace(".", "/") + ".py"
        rows["file"] = file
        if names := variants((ROOT / file).read_text(encoding="utf-8")):
            rows["variants"] = ", ".join(names)
    if topic.is_model:
        rows["python"] = f'tfdl.build("{topic.key}")'
    rows["command"] = topic.recipe or ("-" if topic.built else "not built yet")
    return "\n".join([topic.title, *(f"  {name:<9} {value}" for name, value in rows.items())])


def costs(topic, variant=None, image_size=None):
    """Images, parameters, multiply-adds and megabytes of each variant, or of one, as aligned lines.

    Raises:
        ValueError: no image model, an unknown variant, or images that do not fit one.
    """
    from tfdl.core.outline import multiply_adds, outline, parameters

    module = importlib.import_module(topic.module) if topic.is_model else None
    builder = getattr(module, topic.key, None)
    default = (getattr(builder, "__kwdefaults__", None) or {}).get("image_shape")
    if default is None:
        raise ValueError(f"--flops counts image models that are built, and {topic.title} ({topic.key!r}) is none.")
    if image_size is not None and image_size < 1:
        raise ValueError(f"--image-size must be a number of pixels, at least 1; it is {image_size}.")

    rows = [("variant", "image", "parameters", "multiply-adds", "MB as float32")]
    for name in [variant] if variant else module.VARIANTS:
        arguments = {"image_shape": default, **getattr(module, "CANONICAL", {}).get(name, {})}
        if image_size:
            arguments["image_shape"] = (image_size, image_size, default[-1])
        model = outline(builder, name, **arguments)
        image, megabytes = " x ".join(map(str, arguments["image_shape"])), 4e-6 * model.count_params()
        rows.append((name, image, f"{parameters(model):,}", f"{multiply_adds(model):,}", f"{megabytes:,.2f}"))
    first, *others = (max(map(len, column)) for column in zip(*rows))
    return "\n".join(
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others))])
        for name, *cells in rows
    )


def variants(source):
    """The names in a module's `VARIANTS`, read from its text, because importing it would load Keras.

    Sees `VARIANTS = {"a": ...}` and `VARIANTS["b"] = ...` at the top level.
    """
    names = []
    for node in ast.parse(source).body:
        for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
            if isinstance(target, ast.Name) and target.id == "VARIANTS" and isinstance(node.value, ast.Dict):
                names += [key.value for key in node.value.keys if isinstance(key, ast.Constant)]
            elif isinstance(target, ast.Subscript) and ast.unparse(target.value) == "VARIANTS":
                names += [target.slice.value] if isinstance(target.slice, ast.Constant) else []
    return names
