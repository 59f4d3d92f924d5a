"""Work on a Ray cluster of two machines, which are simulated on the loopback address."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from twins import tiny_captioner
from twins.jobs import Squares

from gazeback.grounding.cluster import LOOPBACK
from gazeback.grounding.processes import AHEAD
from gazeback.grounding.workers import Workers, answered
from gazeback.models.errors import UserError
from gazeback.models.writing import json_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'gazeback[ray]'"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]

TESTS = str(Path(__file__).parents[1])
BATCHES = [[n, n + 1] for n in range(0, 24, 2)]
SQUARES = [(batch, [n * n for n in batch]) for batch in BATCHES]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines with one CPU each, on the loopback address; without telemetry and dashboard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for name, value in LOOPBACK.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", TESTS)
        from ray.cluster_utils import Cluster

        machine = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 200_000_000}
        made = Cluster(initialize_head=True, head_node_args=machine)
        made.add_node(num_cpus=1, object_store_memory=200_000_000)
        assert made.address.startswith("127.0.0.1:")
        yield made
        made.shutdown()


def squares(cluster: Any, job: Squares, batches: list[list[int]] = BATCHES) -> Iterator[Any]:
    return answered(job, batches, Workers(ray=cluster.address))


def test_answers_come_in_order_and_only_a_few_batches_are_under_way(cluster, tmp_path) -> None:
    found = squares(cluster, Squares(tmp_path))
    first = next(found)
    time.sleep(2)
    assert len(list(tmp_path.glob("begun-*"))) <= 2 * AHEAD < len(BATCHES)
    assert [first, *found] == SQUARES


def test_a_killed_worker_loses_nothing(cluster, tmp_path) -> None:
    assert list(squares(cluster, Squares(tmp_path, killed_at=6))) == SQUARES
    assert (tmp_path / "killed").exists()


def test_a_batch_that_kills_every_worker_is_told(cluster, tmp_path) -> None:
    with pytest.raises(UserError, match=r"workers were lost again and again at batch 4 \(out of memory\?\)"):
        list(squares(cluster, Squares(tmp_path, killed_at=6, every_time=True)))


def test_an_error_of_the_job_is_raised_as_it_is(cluster, tmp_path) -> None:
    with pytest.raises(UserError, match=r"^-1 is below 0$"):
        list(squares(cluster, Squares(tmp_path), [[1], [-1]]))


PHOTOS = 40


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO split of small photos, one of which is broken, and a captioner."""
    folder = tmp_path_factory.mktemp("split")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(PHOTOS)]
    for name in names:
        pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / name)
    (folder / "photos" / names[20]).write_text("no picture")
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    (folder / "captions.json").write_text(json_text({"images": images, "annotations": []}))
    tiny_captioner.make().save(folder / "tiny.keras")
    return folder


def grounding(split: Path, out: str, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gazeback.grounding.commands.main", "ground", "--coco", "photos"]
    command += ["--annotations", "captions.json", "--model", "tiny.keras", "--out", out, *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=split, text=True, env=dict(os.environ), **pipes)


def told(command: subprocess.Popen[str], out: str) -> list[str]:
    """The lines that a command prints, but for its progress."""
    lines = "".join(command.communicate()).replace(out, "OUT").splitlines()
    return [line for line in lines if not line.startswith("Grounding:")]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_split_is_grounded_as_on_one_machine_though_a_machine_is_lost(cluster, split) -> None:
    alone = grounding(split, "alone")
    expected = told(alone, "alone")
    spare = cluster.add_node(num_cpus=1, object_store_memory=200_000_000)
    spread = grounding(split, "spread", "--ray", cluster.address)
    done, until = split / "spread" / "photos.jsonl", time.monotonic() + 600
    while spread.poll() is None and not done.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert spread.poll() is None, spread.communicate()
    cluster.remove_node(spare, allow_graceful=False)
    found = told(spread, "spread")
    assert (alone.returncode, spread.returncode) == (0, 0), found
    written = contents(split / "spread")
    assert written == contents(split / "alone")
    assert len(written) == 4 * len(written["photos.jsonl"].splitlines()) + 5
    assert found == expected
    assert any(line.startswith("Error: photos/20.png: not a picture that can be read") for line in found)


def test_a_second_run_on_the_cluster_does_only_what_is_missing(cluster, split) -> None:
    before = contents(split / "spread")
    pages = sorted((split / "spread" / "images").glob("*.html"))
    for page in pages[::5]:
        page.unlink()
    lines = told(grounding(split, "spread", "--ray", cluster.address), "spread")
    kept = len(pages) - len(pages[::5])
    assert any(
        line.startswith(f"Grounded {len(pages)} of {PHOTOS} images ({kept} of them before).")
        for line in lines
    )
    again = contents(split / "spread")
    assert {name: again[name] for name in again if name != "photos.jsonl"} == {
        name: before[name] for name in before if name != "photos.jsonl"
    }
