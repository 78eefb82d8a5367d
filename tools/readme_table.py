"""The page of topics, docs/topics.md, from the catalog.

python tools/readme_table.py            write it
python tools/readme_table.py --check    fail if it is not current
"""

import argparse
import sys
from itertools import groupby
from pathlib import Path

from tfdl.catalog import ALIASES, STAGES, topics
from tfdl.core.files import write_text

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "topics.md"
TITLE = """# Topics

All topics of the curriculum, in the order of the learning path. `tfdl show KEY` prints the same for one topic, with its
variants and published weights. Minutes are those of the topic's recipe on two CPU cores. This page is written by
`python tools/readme_table.py` from `tfdl/catalog.py`.
"""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    if parser.parse_args(argv).check:
        current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page()
        if not current:
            print(f"{PAGE.name} is not current: run `python tools/readme_table.py`.", file=sys.stderr)
        return int(not current)
    write_text(PAGE, page())
    return 0


def page():
    """The whole text: a table for each stage, and the other names of topics."""
    lines = [TITLE]
    for stage, rows in groupby(topics(), key=lambda topic: topic.stage):
        rows = tuple(rows)
        built = sum(topic.built for topic in rows)
        lines += [
            f"## Stage {stage}: {STAGES[stage]}",
            "",
            f"{len(rows)} topics, {built} of them implemented.",
            "",
            "| key | topic | section | prerequisites | minutes | code or command | source |",
            "|---|---|---|---|---|---|---|",
            *(row(topic) for topic in rows),
            "",
        ]
    lines += ["## Other names", "", "| name | key |", "|---|---|"]
    lines += [f"| `{alias}` | `{key}` |" for alias, key in ALIASES.items()]
    return "\n".join(lines) + "\n"


def row(topic):
    if topic.module:
        file = topic.module.replace(".", "/") + ".py"
        code = f"[{file.removeprefix('tfdl/')}](../{file})"
    else:
        code = f"`{topic.recipe}`" if topic.recipe else "not built yet"
    needed = ", ".join(f"`{key}`" for key in topic.prerequisites)
    cells = (f"`{topic.key}`", topic.title, topic.section, needed, str(topic.minutes or ""), code, topic.source)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
