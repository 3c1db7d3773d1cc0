"""Rows 7 and 13: no room for what training and evaluation write, or no leave to write it."""

import contextlib
import os
import random
import resource
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import warm_python
from trainings import (
    SHORT,
    assert_same_run,
    command,
    contents,
    error_of,
    evaluate_here,
    train_here,
)

from rlstm_tf.runs.checkpoints import Checkpoints

LIMITED = """
import resource, runpy, sys
size = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
runpy.run_module("rlstm_tf.train", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(bytes): mounts one, and takes it away at the end."""
    places = []

    def mount(size):
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@contextlib.contextmanager
def only(free, place):
    """While it lasts, so many bytes of a disk are free, to a page."""
    filler = place / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(place).free - free)
    yield
    filler.unlink()


def limited(shards, directory, size):
    """Trains in a process that may write no file larger than `size` bytes."""
    run_dir = directory / f"run{size}"
    line = ["-c", LIMITED, str(size), *command(shards, run_dir, *SHORT)[2:]]
    result = warm_python.run(line)
    return run_dir, result.returncode, result.stdout


def assert_refused(output, run_dir):
    """One line, and what is there is whole; returns the name of the file that had no room."""
    error = error_of(output)
    assert error.startswith(f"error: cannot write {run_dir}/"), error
    assert "File too large" in error or "No space left on device (0." in error, error
    assert not list(run_dir.rglob("*.partial"))
    for path in run_dir.glob("checkpoints/*"):
        Checkpoints(run_dir / "checkpoints").load(path)
    return Path(error.split()[3].rstrip(":")).relative_to(run_dir).parts[0]


@pytest.mark.timeout(1200)
def test_no_file_may_grow_past_a_size(shards, short, tmp_path, thorough, survived):
    """Processes of their own; with room, some of them end as if nothing had been."""
    largest = max(path.stat().st_size for path in short.rglob("*") if path.is_file())
    # A checkpoint has some digits of a rate more or less in every run, which are of no account.
    just_short = largest - 100
    draws = random.Random(7)
    sizes = {300, largest // 2, 10, 900, 1500, just_short}
    sizes = sorted(sizes | {int(10 * (largest / 10) ** draws.random()) for _ in range(4)})
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda size: limited(shards, tmp_path, size), sizes))
    found = set()
    for number, (run_dir, status, output) in enumerate(runs):
        assert status == 1, output
        found.add(assert_refused(output, run_dir))
        if number % 5 == 0:
            assert train_here(shards, run_dir, *SHORT) == 0
            assert_same_run(run_dir, short)
        shutil.rmtree(run_dir)
    assert "checkpoints" in found
    assert "flags.cfg" in found
    survived(7, len(sizes))


@pytest.mark.timeout(1200)
def test_a_disk_runs_full(shards, short, small_disk, capsys, thorough, survived):
    """Between the checkpoints of a run; with room, the same command ends as if nothing had been."""
    needed = sum(len(content) for content in contents(short).values())
    disk = small_disk(3 * needed)
    draws = random.Random(7)
    wanted = 3
    for number in range(wanted):
        run_dir = disk / f"run{number}"
        with only(int(needed * draws.uniform(0.4, 0.9)), disk):
            assert train_here(shards, run_dir, *SHORT) == 1
            assert_refused(capsys.readouterr().err, run_dir)
        saved = Checkpoints(run_dir / "checkpoints").all()
        assert train_here(shards, run_dir, *SHORT) == 0
        assert f"resumed from {saved[-1]}" in capsys.readouterr().out
        assert_same_run(run_dir, short)
        shutil.rmtree(run_dir)
    survived(7, wanted)


@pytest.mark.timeout(1200)
def test_no_room_for_each_kind_of_file(shards, small_disk, capsys, thorough, survived):
    """So many pages of memory, which is what this disk is of, are free.

    TensorBoard's graph and pictures take more than these, so checkpoints do not come into it here.
    """
    disk = small_disk(10**6)
    found = []
    for free in range(7):
        run_dir = disk / f"run{free}"
        with only(free * resource.getpagesize(), disk):
            assert train_here(shards, run_dir, "--epochs=1") == 1
            found.append(assert_refused(capsys.readouterr().err, run_dir))
        shutil.rmtree(run_dir)
    assert found[0] == "flags.cfg"
    assert list(dict.fromkeys(found)) == [
        *(
            "flags.cfg",
            "classes.json",
            "records.sha256",
            "manifest.json",
            "tensorboard",
        )
    ]
    survived(7, 7)


def test_no_room_for_scores(short, small_disk, capsys, survived):
    """Those of an earlier evaluation stay."""
    disk = small_disk(10**6)
    output = disk / "scores"
    assert evaluate_here(short, f"--output={output}") == 0
    before = contents(output)
    with only(0, disk):
        assert evaluate_here(short, f"--output={output}", "--checkpoint=best") == 1
    error = error_of(capsys.readouterr().err)
    assert f"cannot write {output}: No space left on device (0.0 MB free)" in error
    assert contents(output) == before
    survived(7, 1)


def test_not_writable(shards, short, small_disk, tmp_path, capsys, survived):
    """A file in the way, and a disk that is read-only for root too."""
    (tmp_path / "file").write_text("mine")
    disk = small_disk(10**6)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for place in (tmp_path / "file", tmp_path / "file" / "run", disk, disk / "run"):
        for status in (
            train_here(shards, place, *SHORT),
            evaluate_here(short, f"--output={place}"),
        ):
            assert status == 1
        output = capsys.readouterr()
        errors = [line for line in output.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 2
        assert all(f"cannot write {place}" in error for error in errors), errors
        assert "epoch 1" not in output.out + output.err
    assert (tmp_path / "file").read_text() == "mine"
    assert not list(disk.iterdir())
    survived(13, 8)
