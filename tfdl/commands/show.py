"""`tfdl show KEY`: where a topic comes from, where its code is, and how to run it."""

import argparse
import ast
from pathlib import Path

from tfdl.catalog import STAGES, find

ROOT = Path(__file__).resolve().parent.parent.parent


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl show", description=__doc__)
    parser.add_argument("key", help="as `tfdl list` prints it")
    print(card(find(parser.parse_args(argv).key)))
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
