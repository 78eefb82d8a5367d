"""`tfdl list`: the topics of the curriculum, by stage and section."""

import argparse
import os
import sys
from itertools import groupby

from tfdl.catalog import STAGES, topics


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl list", description=__doc__)
    parser.add_argument("--stage", type=int, help=f"1 to {len(STAGES)}")
    parser.add_argument("--unbuilt", action="store_true", help="only what is still to come")
    args = parser.parse_args(argv)
    rows = topics(stage=args.stage, built=False if args.unbuilt else None)
    print(table(rows, paint if wants_color(sys.stdout) else plain))
    return 0


def table(rows, style):
    """The rows as text: a heading per stage and section, a mark for what is built, aligned columns."""
    if not rows:
        return "Nothing left: everything here is built."
    key_width = max(len(t.key) for t in rows)
    title_width = max(len(t.title) for t in rows)
    lines = []
    for (stage, section), group in groupby(rows, key=lambda t: (t.stage, t.section)):
        lines += ["", style(f"{stage} {STAGES[stage]}: {section}", "bold")]
        for topic in group:
            mark = style("*", "green") if topic.built else " "
            lines.append(
                f"  {mark} {topic.key:<{key_width}}  {topic.title:<{title_width}}  {style(topic.source, 'dim')}"
            )
    built = sum(t.built for t in rows)
    return "\n".join([*lines[1:], "", f"{len(rows)} topics, {built} built (*).  `tfdl show KEY` tells more."])


def paint(text, name):
    return f"\033[{ {'bold': 1, 'dim': 2, 'green': 32}[name] }m{text}\033[0m"  # ANSI select graphic rendition


def plain(text, name):
    return text


def wants_color(stream):
    """Only on a terminal, and not where NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
