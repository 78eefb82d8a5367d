"""The table of topics in README.md, from the catalog.

python tools/readme_table.py            write it between its markers
python tools/readme_table.py --check    fail if it is not current
"""

import argparse
import os
import sys
from itertools import groupby
from pathlib import Path

from tfdl.catalog import STAGES, topics

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- topics: tools/readme_table.py -->", "<!-- end of topics -->"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args(argv).check
    before = README.read_text(encoding="utf-8")
    after = filled(before)
    if check:
        if after != before:
            print("README.md's table of topics is not current: run `python tools/readme_table.py`.", file=sys.stderr)
        return int(after != before)
    temporary = README.with_name("README.md.new")
    temporary.write_text(after, encoding="utf-8")
    os.replace(temporary, README)
    return 0


def filled(readme):
    """The text with a fresh table between the markers; ValueError if they are not there once each."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1 or readme.index(BEGIN) > readme.index(END):
        raise ValueError(f"README.md must hold the lines {BEGIN!r} and {END!r} once each, in that order.")
    head, rest = readme.split(BEGIN)
    return f"{head}{BEGIN}\n{table()}{END}{rest.split(END)[1]}"


def table():
    """A folded table per stage: key, title, code, source."""
    lines = []
    for stage, rows in groupby(topics(), key=lambda topic: topic.stage):
        rows = tuple(rows)
        built = sum(topic.built for topic in rows)
        lines += [
            "<details>",
            f"<summary>{stage} {STAGES[stage]}: {len(rows)} topics, {built} built</summary>",
            "",
            "| key | topic | section | code | source |",
            "|---|---|---|---|---|",
            *(row(topic) for topic in rows),
            "",
            "</details>",
            "",
        ]
    return "\n".join(lines)


def row(topic):
    if topic.module:
        file = topic.module.replace(".", "/") + ".py"
        code = f"[{file.removeprefix('tfdl/')}]({file})"
    else:
        code = f"`{topic.recipe}`" if topic.recipe else "planned"
    return f"| `{topic.key}` | {topic.title} | {topic.section} | {code} | {topic.source} |"


if __name__ == "__main__":
    sys.exit(main())
