"""The one step of the build that pyproject.toml has no word for: recipes/ goes into the wheel as tfdl/recipes/.

In the checkout the recipes stay at the top, where people look for them; `tfdl run` finds both places.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    """An editable install needs no copy: it has the checkout."""

    def run(self):
        super().run()
        if not self.editable_mode:
            inside = Path(self.build_lib) / "tfdl" / "recipes"
            shutil.rmtree(inside, ignore_errors=True)  # of an earlier build, with recipes that are gone
            for recipe in sorted(Path("recipes").glob("*/*.py")):
                target = inside / recipe.parent.name / recipe.name
                self.mkpath(str(target.parent))
                self.copy_file(str(recipe), str(target))


setup(cmdclass={"build_py": BuildWithRecipes})
