"""Suggestions for a mistyped name, and which names can be written to text files."""

import difflib
import re

# Control characters, and the bytes of a file's name that are no UTF-8, as Python decodes them.
UNWRITABLE = re.compile(r"[\0-\x1f\x7f-\x9f\ud800-\udfff]")


def is_writable(name):
    """Whether it fits on a line of a text file, and into a figure."""
    return UNWRITABLE.search(name) is None


def nearest(name, names):
    """The three of `names` most like `name`, as text: "'a', 'b' and 'c'"."""
    *first, last = map(repr, difflib.get_close_matches(name, names, n=3, cutoff=0.0))
    return f"{', '.join(first)} and {last}" if first else last
