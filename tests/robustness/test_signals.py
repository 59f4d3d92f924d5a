"""The real command under SIGTERM and Ctrl-C, with worker processes; its streams are quiet."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "gazeback.grounding.commands.main"]
SCENES = [*COMMAND, "evaluate", "scenes", "--methods", "center", "--limit", "4000", "--workers", "2"]


def children_of(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def hear_interrupts() -> None:
    """A shell's background commands, and all that they start, ignore Ctrl-C; a user's command does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "to_all", "code", "line"),
    [
        (signal.SIGTERM, False, 143, "Terminated."),
        (signal.SIGINT, True, 130, "Interrupted."),  # as a terminal sends Ctrl-C
        (signal.SIGINT, False, 130, "Interrupted."),
    ],
)
def test_a_signal_leaves_one_line_and_no_process(tmp_path, number, to_all, code, line):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_CPP")}
    process = subprocess.Popen(
        [*SCENES, "--json", str(tmp_path / "out.json")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    records = tmp_path / "out.records.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not records.exists():
        time.sleep(0.2)
    assert records.exists()
    (os.killpg if to_all else os.kill)(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    *progress, last = stderr.splitlines()
    assert (process.returncode, stdout, last) == (code, "", line)
    assert all(told.startswith("scenes: ") for told in progress)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and children_of(process.pid):
        time.sleep(0.2)
    assert children_of(process.pid) == []


@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_one_or_two_lines(arguments):
    with open("/dev/full", "w") as full:
        process = subprocess.run([*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.returncode == 2
    assert 1 <= len(process.stderr.splitlines()) <= 2
    assert "No space left on device" in process.stderr


def test_a_mistake_is_one_line_of_the_real_command(tmp_path):
    asked = [*COMMAND, "evaluate", "report", "none.json", "--out", str(tmp_path / "a.md")]
    process = subprocess.run(asked, capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("Error: none.json: no such file; expected a result of")
    assert process.stderr.count("\n") == 1
