"""The command group: help without TensorFlow, quiet libraries, broken pipes."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gazeback.grounding.commands import main as command_line

HEAVY = ("tensorflow", "keras", "matplotlib", "skimage", "scipy", "nltk", "numpy")


def python(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)


def without_log_level() -> dict[str, str]:
    chosen = ("TF_CPP_MIN_LOG_LEVEL", "PYTHONWARNINGS")
    return {name: value for name, value in os.environ.items() if name not in chosen}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ground", "--help"], ["trace", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = HEAVY[:-1] if arguments[0] in ("ground", "trace") else HEAVY
    done = python(
        "import sys\n"
        "from gazeback.grounding.commands.main import main\n"
        f"sys.argv = ['gazeback', *{arguments}]\n"
        "try:\n    main()\n"
        f"finally:\n    print(sorted(set(sys.modules) & {set(heavy)}), file=sys.stderr)\n"
    )
    assert done.returncode == 0
    assert done.stderr == "[]\n"
    assert done.stdout


def test_help_lists_the_commands() -> None:
    result = CliRunner().invoke(command_line.gazeback, ["--help"])
    assert result.exit_code == 0
    for name, (_, summary) in command_line.COMMANDS.items():
        assert f"{name} " in result.stdout
        assert summary in result.stdout


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_every_listed_command_exists(name: str) -> None:
    result = CliRunner().invoke(command_line.gazeback, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: gazeback {name}")
    with click.Context(command_line.gazeback) as context:
        command = command_line.gazeback.get_command(context, name)
    assert command.get_short_help_str(200) == command_line.COMMANDS[name][1].rstrip(".") + "."


def test_version() -> None:
    result = CliRunner().invoke(command_line.gazeback, ["--version"])
    assert result.stdout.startswith("gazeback, version ")


def test_no_such_command_is_one_line() -> None:
    result = CliRunner().invoke(command_line.gazeback, ["grund"], prog_name="gazeback")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: No such command 'grund'.")


def test_libraries_are_silenced_before_they_are_imported() -> None:
    done = python(
        "import warnings\n"
        "from gazeback.grounding.commands.quiet import silence_libraries\n"
        "silence_libraries()\n"
        "import tensorflow, keras\n"
        "warnings.warn('chatter')\n"
        "tensorflow.get_logger().warning('chatter')\n"
        "keras.layers.Dense(1)(tensorflow.zeros((1, 1)))\n",
        env=without_log_level(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_keras_is_imported_without_matplotlib_which_stays_usable() -> None:
    done = python(
        "import sys\n"
        "from gazeback.grounding.commands.quiet import silence_libraries\n"
        "silence_libraries()\n"
        "import keras\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import matplotlib.figure\n",
        env=without_log_level(),
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_import_that_fails_is_still_told(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'chatter')\nraise ImportError('no luck')\n"
    )
    done = python(
        "from gazeback.grounding.commands.quiet import silence_libraries\n"
        "silence_libraries()\nimport tensorflow\n",
        env={**without_log_level(), "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "chatter" not in done.stderr
    assert "ImportError: no luck" in done.stderr


def test_what_the_user_set_stays() -> None:
    done = python(
        "import sys, warnings\n"
        "from gazeback.grounding.commands.quiet import QuietFinder, silence_libraries\n"
        "silence_libraries()\n"
        "assert not any(isinstance(finder, QuietFinder) for finder in sys.meta_path)\n"
        "warnings.warn('chatter')\n",
        env={**without_log_level(), "TF_CPP_MIN_LOG_LEVEL": "0", "PYTHONWARNINGS": "default"},
    )
    assert done.returncode == 0
    assert "chatter" in done.stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "import sys\nfrom gazeback.grounding.commands.main import main\nsys.stdin.read()\nmain()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--help"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.close()  # only now does it write
        assert process.stderr.read() == b""


def without_tensorflow(*arguments: str, backend: str) -> subprocess.CompletedProcess[str]:
    """Run a command where TensorFlow is not installed."""
    return python(
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *rest: None if name == 'tensorflow' else find(name, *rest)\n"
        "from gazeback.grounding.commands.main import main\n"
        f"sys.argv = ['gazeback', *{arguments}]\n"
        "main()\n",
        env={**os.environ, "KERAS_BACKEND": backend},
    )


def test_a_missing_tensorflow_is_one_line(tmp_path: Path) -> None:
    done = without_tensorflow("ground", "--out", str(tmp_path), backend="tensorflow")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: TensorFlow is not installed: pip install 'gazeback[tensorflow]', or, with JAX or PyTorch "
        "installed, set KERAS_BACKEND=jax or KERAS_BACKEND=torch\n"
    )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_ground_needs_no_tensorflow(tmp_path: Path, backend: str) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed; .ci/run installs it")
    done = without_tensorflow("ground", "--out", str(tmp_path), backend=backend)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.html"))


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(
    "arguments",
    [("train", "captioner", "--data", "x", "--out", "x.keras"), ("evaluate", "speed")],
    ids=" ".join,
)
def test_a_command_that_needs_tensorflow_says_so(backend: str, arguments: tuple[str, ...]) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed; .ci/run installs it")
    done = without_tensorflow(*arguments, backend=backend)
    assert done.returncode == 2
    assert done.stderr == (
        f"Error: gazeback {' '.join(arguments[:2])} needs TensorFlow, and Keras runs on {backend}: "
        "pip install 'gazeback[tensorflow]' and set KERAS_BACKEND=tensorflow\n"
    )
