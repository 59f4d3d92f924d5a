"""Files of others are read in one place, and results are written in one.

Memory is read from the kernel, and a worker process unpickles what its parent sent.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("cnn_trace", "lstm_trace", "models", "grounding", "eval")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
READS = re.compile(r"json\.loads?\(|\.read_text\(|\.read_bytes\(|zipfile\.ZipFile\(\w+\)|pickle\.loads?\(")
WRITES = re.compile(r"json\.dumps?\(|\.write_text\(|\.write_bytes\(|os\.replace\(")
ARRAYS = re.compile(r"np\.load\(")

ALLOWED = {
    READS: {"models/reading.py", "eval/speed/memory.py", "grounding/commands/quiet.py"},
    WRITES: {"models/writing.py", "eval/speed/memory.py"},
    ARRAYS: {"models/training/activation_cache.py"},  # memory-mapped
}


@pytest.mark.parametrize("pattern", ALLOWED, ids=lambda pattern: pattern.pattern)
def test_only_the_boundary_opens_files(pattern):
    found = {str(path.relative_to(ROOT)) for path in SOURCES if pattern.search(path.read_text())}
    assert found == ALLOWED[pattern]
