"""What pyproject.toml cannot say: a wheel carries the studies of experiments/ as disue/experiments."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithStudies(build_py):
    """Installed in place (editable) the package finds the folder beside src."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "disue" / "experiments"
            shutil.copytree("experiments", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithStudies})
