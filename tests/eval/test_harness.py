"""Running tasks: resuming, workers, unusable images, and what is written."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from twins.tasks import Lengths

from gazeback.eval.harness.page import extremes, spreads
from gazeback.eval.harness.records import Records
from gazeback.eval.harness.report import check_names, document, kept
from gazeback.eval.harness.run import run_task
from gazeback.eval.harness.table import StoredTable, Table, as_csv, as_markdown
from gazeback.eval.metrics.statistics import Summary
from gazeback.grounding.workers import Workers
from gazeback.models.errors import DataError, UserError


def asked(folder):
    path = folder / "asked.log"
    return [line.rsplit(" ", 1)[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_figures_go_everywhere(tmp_path, capsys):
    run_task(Lengths(tmp_path), tmp_path / "out.json")
    printed = capsys.readouterr().out
    assert "Lengths" in printed
    assert "left out: duplicated image: 1" in printed
    written = json.loads((tmp_path / "out.json").read_text())
    cell = written["tables"][0]["rows"][0]["cells"][0]
    assert cell["mean"] == 8.5  # the mean of 4 to 13
    assert (cell["n"], written["more"], written["images measured"]) == (10, 1, 10)
    stored = msgspec.convert(written["tables"][0], StoredTable)
    assert Table.of(stored).texts[0] == ["letters", "8.500 ± .957"]
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[1].startswith("Lengths | all,letters,length,8.5,")
    page = (tmp_path / "out.html").read_text()
    assert "&lt;b&gt;xxxxxxxxx.png&lt;/b&gt;" in page
    assert "<b>x" not in page
    assert page.count('alt="letters on') == 8
    assert list(tmp_path.glob(".*")) == []


def test_a_second_run_measures_only_what_is_missing(tmp_path):
    path = tmp_path / "out.json"
    run_task(Lengths(tmp_path, methods=("letters",)), path)
    assert len(asked(tmp_path)) == 10
    run_task(Lengths(tmp_path), path)
    assert asked(tmp_path)[10:] == [f"{name} half" for name in Lengths(tmp_path).names()]
    run_task(Lengths(tmp_path, methods=("half", "letters")), path)
    assert len(asked(tmp_path)) == 20
    run_task(Lengths(tmp_path, count=12), path)  # other data: `about` differs
    assert len(asked(tmp_path)) == 44
    run_task(Lengths(tmp_path), path, fresh=True)
    assert len(asked(tmp_path)) == 64


def test_an_unusable_image_is_named_and_skipped_and_tried_again(tmp_path, capsys):
    path = tmp_path / "out.json"
    run_task(Lengths(tmp_path, bad=("xx.png",)), path)
    written = json.loads(path.read_text())
    assert written["unusable"] == {"xx.png": "xx.png is broken"}
    assert written["skipped"]["unusable image"] == 1
    assert written["images measured"] == 9
    assert "  xx.png: xx.png is broken" in capsys.readouterr().out
    run_task(Lengths(tmp_path), path)
    assert asked(tmp_path)[18:] == ["xx.png letters", "xx.png half"]
    assert json.loads(path.read_text())["images measured"] == 10


def test_no_usable_image_is_one_error(tmp_path):
    with pytest.raises(
        DataError, match=r"none of the images could be measured.*unusable image: 1.*is broken"
    ):
        run_task(Lengths(tmp_path, count=1, bad=(".png",)))


def test_an_image_without_a_question_is_counted_and_not_asked_again(tmp_path):
    class Silent(Lengths):
        def measure(self, subject, names, methods):
            found = super().measure(subject, names, methods)
            return {name: answer for name, answer in found.items() if len(name) != 6}

    path = tmp_path / "out.json"
    run_task(Silent(tmp_path), path)
    assert json.loads(path.read_text())["skipped"]["nothing to measure"] == 1
    run_task(Silent(tmp_path), path)
    assert len(asked(tmp_path)) == 20


def test_workers_find_the_same(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    run_task(Lengths(tmp_path, bad=("xx.png",)), tmp_path / "one" / "out.json")
    run_task(Lengths(tmp_path, bad=("xx.png",)), tmp_path / "two" / "out.json", workers=Workers(2))
    one, two = (json.loads((tmp_path / name / "out.json").read_text()) for name in ("one", "two"))
    assert one == two


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from twins.tasks import Lengths
from gazeback.eval.harness.run import run_task
from gazeback.grounding.workers import Workers

if __name__ == "__main__":
    task = Lengths(Path({folder!r}), 40, pause=0.1)
    run_task(task, Path({folder!r}, "out.json"), workers=Workers({workers}))
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_and_loses_nothing(tmp_path, workers):
    script = tmp_path / "killed.py"
    tests = str(Path(__file__).parents[1])
    script.write_text(KILLED.format(tests=tests, folder=str(tmp_path), workers=workers))
    process = subprocess.Popen([sys.executable, str(script)])
    records = tmp_path / "out.records.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (records.exists() and records.read_text().count("\n") >= 16):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {line["image"] for line in map(json.loads, records.read_text().splitlines())}
    assert 8 <= len(kept) < 40
    with records.open("a") as file:
        file.write('{"key": "torn')  # as if the process had been killed while it wrote
    before = len(asked(tmp_path))
    run_task(Lengths(tmp_path, 40), tmp_path / "out.json")
    again = {line.split()[0] for line in asked(tmp_path)[before:]}
    assert again == set(Lengths(tmp_path, 40).names()) - kept
    assert json.loads((tmp_path / "out.json").read_text())["images measured"] == 40


def test_results_in_one_document(tmp_path):
    run_task(Lengths(tmp_path), tmp_path / "lengths-of names.json")
    (tmp_path / "lengths-of names.md").write_text("Longer names are longer.\n")
    found = document([tmp_path / "lengths-of names.json"])
    assert "## Lengths, of names\n\n```bash\n" in found
    assert "| letters | 8.500 ± .957 |" in found
    assert "10 names" in found
    assert found.endswith("left out: duplicated image: 1\n\nLonger names are longer.\n")


def test_results_are_kept_without_their_images(tmp_path):
    run_task(Lengths(tmp_path), tmp_path / "lengths.json")
    (tmp_path / "docs").mkdir()
    copy = kept(tmp_path / "lengths.json", tmp_path / "docs")
    assert "more" not in json.loads(copy.read_text())
    assert document([copy]) == document([tmp_path / "lengths.json"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object, got a list"),
        ('{"tables": []}', "not a result of `gazeback evaluate TASK --json`: 'command' is missing"),
        ('{"command": "x", "tables": [{"title": "t"}]}', "not a result .*tables.0.: 'columns' is missing"),
        (None, "no such file; expected a result of"),
    ],
)
def test_what_is_no_result_is_one_clear_error(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        document([path])


def test_results_of_one_name_do_not_replace_each_other(tmp_path):
    with pytest.raises(DataError, match=r"two results have the name x.json: a/x.json and b/x.json"):
        check_names([Path("a/x.json"), Path("c.json"), Path("b/x.json")])


def test_a_kept_result_is_not_replaced_by_itself(tmp_path):
    run_task(Lengths(tmp_path), tmp_path / "lengths.json")
    before = (tmp_path / "lengths.json").read_text()
    assert kept(tmp_path / "lengths.json", tmp_path) == tmp_path / "lengths.json"
    assert (tmp_path / "lengths.json").read_text() == before


@pytest.mark.parametrize("name", ["out.html", "out.csv", "out", "photo.jpg", "pipe.json"])
def test_a_result_never_replaces_another_kind_of_file(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match=r"--json .*: (expected a file that ends in .json|.* not a regular)"):
        run_task(Lengths(tmp_path), tmp_path / name)
    assert asked(tmp_path) == []


def test_a_record_that_was_changed_is_measured_again(tmp_path):
    path = tmp_path / "out.json"
    run_task(Lengths(tmp_path), path)
    lines = (tmp_path / "out.records.jsonl").read_text()
    (tmp_path / "out.records.jsonl").write_text(lines.replace('"value": 9.0', '"value": 8.0'))
    before = len(asked(tmp_path))
    run_task(Lengths(tmp_path), path)
    assert set(asked(tmp_path)[before:]) == {"xxxxx.png letters"}


def test_a_place_that_cannot_be_written_is_refused_first(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        run_task(Lengths(tmp_path), tmp_path / "none" / "out.json")
    assert asked(tmp_path) == []


def test_records_of_another_key_do_not_count(tmp_path):
    path = tmp_path / "r.jsonl"
    Records(path, {("image", "m"): "a"}).add("image", {"m": {"x": 1}})
    assert Records(path, {("image", "m"): "a"}).missing("image", ["m", "n"]) == ("n",)
    assert Records(path, {("image", "m"): "b"}).missing("image", ["m"]) == ("m",)
    assert Records(path, {}).missing("image", ["m"]) == ("m",)


def test_a_replaced_photo_and_other_weights_are_measured_anew(tmp_path):
    path = tmp_path / "out.json"
    photo = tmp_path / "xxx.png"
    photo.write_bytes(b"one")
    run_task(Lengths(tmp_path), path)
    before = len(asked(tmp_path))
    photo.write_bytes(b"two")  # the same size
    run_task(Lengths(tmp_path), path)
    assert {line.split()[0] for line in asked(tmp_path)[before:]} == {"xxx.png"}
    before = len(asked(tmp_path))
    run_task(Lengths(tmp_path, model="other weights"), path)
    assert len(asked(tmp_path)) == before + 20


def test_forms_of_a_table():
    table = Table("T", ["a", "b", "c"], [("r|1", [Summary(4, 4, 0.25, 0.1), None, 3])], ["note"], "h")
    assert Table.of(msgspec.json.decode(json.dumps(table.as_json()), type=StoredTable)).texts == table.texts
    assert as_markdown(table).splitlines()[0] == "| h | a | b | c |"
    assert as_markdown(table).splitlines()[2] == "| r\\|1 | .250 ± .100 | - | 3 |"
    assert as_csv([table]).splitlines()[1:] == ["T,r|1,a,0.25,0.1,4,4", "T,r|1,b,,,,", "T,r|1,c,3,,,"]
    with pytest.raises(ValueError, match="r has 1 cells for 2 columns"):
        Table("T", ["a", "b"], [("r", [1])])


def test_the_best_and_the_worst_share_no_image():
    assert extremes({"a": 1.0, "b": None, "c": 3.0, "d": 2.0}, 4) == (["c", "d"], ["a"])
    assert extremes({}) == ([], [])


def test_spreads_by_hand(tmp_path):
    found = spreads(Lengths(tmp_path), {"m": {"a": {"value": 0.0}, "b": {"value": 0.0}, "c": {"value": 3.0}}})
    assert (found["low"], found["high"]) == (0, 3)
    row = found["rows"][0]
    assert (row.bars[0], row.bars[-1], sum(row.bars)) == (1, 0.5, 1.5)
    assert (row.mean, row.n, row.mean_at) == (1, 3, pytest.approx(1 / 3))


@dataclass(frozen=True)
class Many(Lengths):
    """Images with names of the same length, and records of three figures."""

    batch = 16

    def names(self):
        return [f"{number:012}.jpg" for number in range(self.count)]

    def measure(self, subject, names, methods):
        return {
            name: {
                method: {"value": len(method) + number / 3, "hit": True, "area": number / 7}
                for method in methods
            }
            for number, name in enumerate(names)
        }


@pytest.mark.slow
def test_the_memory_of_a_run(tmp_path, monkeypatch):
    """The figures of every image are kept, as the tables are computed of all of them; and nothing else."""
    monkeypatch.setattr("gazeback.models.writing.os.fsync", lambda file: None)

    def peak(count):
        """The most bytes that the run over so many images takes."""
        gc.collect()
        tracemalloc.start()
        run_task(Many(tmp_path, count), tmp_path / f"{count}.json")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # imports what is needed
    few, many, of_a_record = 100, 3_000, 1_000
    assert peak(many) - peak(few) < of_a_record * (many - few) * len(Lengths.methods)
