"""What a mistyped name may have meant."""

import difflib


def nearest(name, names):
    """The three of `names` most like `name`, as text: "'a', 'b' and 'c'"."""
    *first, last = map(repr, difflib.get_close_matches(name, names, n=3, cutoff=0.0))
    return f"{', '.join(first)} and {last}" if first else last
