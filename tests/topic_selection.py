"""The tests of one topic: `make check TOPIC=resnet`, or `pytest --topic resnet`.

To a topic belong the whole test file of its name or of its module's (tests/models/test_resnet.py, tests/train/
test_precision.py for mixed_precision), every test elsewhere that has the name in its own (`test_resnet_...`) or among
its parameters (`[resnet-18]`), and the smoke run of its recipe.
"""

import re
import shlex
from pathlib import Path

from tfdl import catalog

OVER_THE_CATALOG = re.compile(
    r"\b(MODELS|CLASSIFIERS|RECIPES|TOPICS|EVERYTHING|topics)\b"
)  # parameters of a file's tests


class Selection:
    """Which tests belong to the topic `key`; ValueError with the nearest topics if there is none."""

    def __init__(self, key):
        topic = catalog.find(key)
        if not topic.built:
            raise ValueError(f"{topic.title} ({topic.key!r}) is not built yet, so it has no tests.")
        self.names = {topic.key}
        if topic.module:
            self.names.add(topic.module.rpartition(".")[2])
        self.recipes = {shlex.split(topic.recipe)[2]} if topic.recipe else set()
        self.in_names = words(self.names)
        self.in_parameters = words(self.names | self.recipes)

    def is_of_its_own(self, path):
        """Whether all tests of a file belong to the topic."""
        return Path(path).stem.removeprefix("test_") in self.names

    def may_be_in(self, path, text):
        """Whether a file can have such tests, so that it is worth importing."""
        return self.is_of_its_own(path) or bool(self.in_parameters.search(text) or OVER_THE_CATALOG.search(text))

    def has(self, path, name):
        """Whether the test `name`, with its parameters in brackets, of a file belongs to the topic."""
        function, _, parameters = name.partition("[")
        found = self.in_names.search(function) or self.in_parameters.search(parameters)
        return self.is_of_its_own(path) or bool(found)


def words(names):
    """A pattern that finds each of `names` as whole words: "vit" in "test_vit_learns", not in "invited"."""
    return re.compile(rf"(?<![a-z0-9])({'|'.join(map(re.escape, sorted(names)))})(?![a-z0-9])")
