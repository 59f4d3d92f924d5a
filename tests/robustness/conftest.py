"""One small world for all cases; each case damages a copy."""

import shutil
import warnings
from pathlib import Path

import pytest
from robustness import world


@pytest.fixture(scope="session")
def good_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, while it saves
        world.make(folder)
    return folder


@pytest.fixture
def case(good_world: Path, tmp_path: Path) -> Path:
    """A copy of the world, with an empty folder `out`."""
    folder = tmp_path / "case"
    shutil.copytree(good_world, folder, symlinks=True)
    (folder / "out").mkdir()
    return folder
