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
        if not self.editable_mode:  # of an earlier build, with modules and recipes that are gone
            shutil.rmtree(Path(self.build_lib) / "tfdl", ignore_errors=True)
        super().run()
        if not self.editable_mode:
            for recipe in sorted(Path("recipes").glob("*/*.py")):
                target = Path(self.build_lib) / "tfdl" / recipe
                self.mkpath(str(target.parent))
                self.copy_file(str(recipe), str(target))


setup(cmdclass={"build_py": BuildWithRecipes})
