"""`tfdl list`: the topics of the curriculum, by stage and section."""

import argparse
import os
import sys
import textwrap
from itertools import groupby

from tfdl.catalog import STAGES, TOPICS, topics

WIDTH = 100  # columns of a terminal


def main(argv):
    parser = argparse.ArgumentParser(prog="tfdl list", description=__doc__)
    parser.add_argument("--stage", type=int, help=f"only this stage of the learning path, 1 to {len(STAGES)}")
    parser.add_argument("--unbuilt", action="store_true", help="only topics that are not implemented yet")
    args = parser.parse_args(argv)
    rows = topics(stage=args.stage, built=False if args.unbuilt else None)
    print(table(rows, paint if wants_color(sys.stdout) else plain))
    return 0


def table(rows, style):
    """The rows as text of at most WIDTH columns: a heading for each stage and section, a mark for what is built."""
    if not rows:
        return "All topics here are implemented."
    key_width = max(len(topic.key) for topic in TOPICS)
    title_width = max(len(topic.title) for topic in TOPICS)
    lines = []
    for stage, of_stage in groupby(rows, key=lambda topic: topic.stage):
        lines += ["", style(f"Stage {stage}: {STAGES[stage]}", "bold")]
        for section, of_section in groupby(of_stage, key=lambda topic: topic.section):
            lines.append(f"  {section}")
            for topic in of_section:
                mark = style("*", "green") if topic.built else " "
                start = f"  {mark} {topic.key:<{key_width}}  {topic.title:<{title_width}}  "
                room = WIDTH - (8 + key_width + title_width)
                lines.append(start + style(author_and_year(topic.source, room), "dim"))
    built = sum(topic.built for topic in rows)
    return "\n".join(
        [*lines[1:], "", f"* marks implemented topics: {built} of {len(rows)}.  `tfdl show KEY` tells more about one."]
    )


def author_and_year(source, width):
    """The beginning of a source, without its journal or number."""
    return textwrap.shorten(source.split(",")[0].split(";")[0].split(" (")[0], width, placeholder="...")


def paint(text, name):
    return f"\033[{ {'bold': 1, 'dim': 2, 'green': 32}[name] }m{text}\033[0m"  # ANSI select graphic rendition


def plain(text, name):
    return text


def wants_color(stream):
    """Only on a terminal, and not where NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
