"""Leases: of two jobs with one remote directory, at most one proceeds."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import threading
import time

import pytest
from jobs import plan_of, remote_files, run_job
from tensorflow import io as tf_io

from rlstm_tf.errors import DataError
from rlstm_tf.storage import files as data_files
from tfrecords_tools.builder import distributed_build, lease
from tfrecords_tools.builder.output_directory import reserve

PLAN = {"dataset": "folder", "short_side": 32, "plan": "0" * 64}
OTHER = {"id": "other", "host": "elsewhere", "process": 7, "beat": 3}


@pytest.fixture
def waited(monkeypatch):
    """Replaces sleep: records the seconds, and calls the functions in `happens` meanwhile."""
    seconds: list[float] = []
    happens: list = []

    def sleep(time):
        seconds.append(time)
        if happens:
            happens.pop(0)()

    monkeypatch.setattr(lease, "sleep", sleep)
    sleep.seconds, sleep.happens = seconds, happens
    return sleep


def path_of(output):
    return f"{output}/.build/claim.json"


def assert_refused(output, message, plan=PLAN):
    """Reserves a directory, which fails with this message."""
    with pytest.raises(DataError, match=message), reserve(output, plan):
        raise AssertionError("two jobs in one directory")


def put_lease(output, **changes):
    data_files.make_directory(f"{output}/.build")
    data_files.write_text(path_of(output), json.dumps({**OTHER, **changes}))


def test_free_directory(waited):
    with reserve("ram://lease/free", PLAN) as reservation:
        assert reservation.manifest is None
        assert data_files.file_sizes([path_of("ram://lease/free")]) != [None]
        reservation.check()
    assert sum(waited.seconds) < lease.HEARTBEAT_S
    # The next job need not wait.
    assert data_files.file_sizes([path_of("ram://lease/free")]) == [None]


def test_live_job_is_not_disturbed(waited):
    put_lease("ram://lease/alive")
    waited.happens.append(lambda: put_lease("ram://lease/alive", beat=4))
    assert_refused(
        "ram://lease/alive", r"ram://lease/alive is in use by another job, process 7 on elsewhere"
    )
    assert json.loads(data_files.read_text(path_of("ram://lease/alive"))) == {**OTHER, "beat": 4}
    assert waited.seconds[0] > 2 * lease.HEARTBEAT_S


def test_one_of_two_successors_of_a_killed_job_proceeds(waited):
    put_lease("ram://lease/three")
    waited.happens.append(lambda: put_lease("ram://lease/three", id="third", process=8))
    assert_refused("ram://lease/three", "in use by another job, process 8 on")


def test_other_job_finishes_meanwhile(own, waited, tmp_path):
    plan, output = plan_of(own), f"file://{tmp_path}/new"
    put_lease(output)
    (tmp_path / "new/.build/plan.json").write_text(json.dumps(plan.identity))

    def end():
        shutil.rmtree(tmp_path / "new")
        run_job(plan, f"{tmp_path}/new")

    waited.happens.append(end)
    with reserve(output, plan.identity) as reservation:
        assert reservation.manifest is not None
    assert not (tmp_path / "new/.build").exists()


def test_killed_job_is_taken_over(waited):
    put_lease("ram://lease/dead")
    with reserve("ram://lease/dead", PLAN) as reservation:
        reservation.check()
    assert len(waited.seconds) == 2


def test_one_of_two_simultaneous_jobs_proceeds(waited):
    waited.happens.append(lambda: put_lease("ram://lease/both"))
    assert_refused("ram://lease/both", "is in use by another job")
    assert json.loads(data_files.read_text(path_of("ram://lease/both"))) == OTHER


def test_job_that_lost_its_lease_writes_no_manifest(own, waited, monkeypatch):
    build_shard = distributed_build.build_shard
    output = "ram://lease/lost"

    def overtaken(*given):
        put_lease(output)
        build_shard(*given)

    monkeypatch.setattr(distributed_build, "build_shard", overtaken)
    with pytest.raises(DataError, match="is in use by another job, process 7 on elsewhere"):
        run_job(plan_of(own), output)
    assert "manifest.json" not in remote_files(output)
    # The lease of the other job stays.
    assert json.loads(data_files.read_text(path_of(output))) == OTHER


def wait_while(condition):
    deadline = time.monotonic() + 60
    while condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_heartbeat(waited, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.01)
    output = "ram://lease/beats"
    with reserve(output, PLAN) as reservation:
        first = json.loads(data_files.read_text(path_of(output)))
        wait_while(lambda: json.loads(data_files.read_text(path_of(output))) == first)

        def is_beating():
            # Repeatedly: the heartbeat may be between its read and its write.
            put_lease(output)
            return any("heartbeat" in thread.name for thread in threading.enumerate())

        wait_while(is_beating)
        # The loss is noticed, and the other job's lease is not overwritten.
        with pytest.raises(DataError, match="is in use by another job"):
            reservation.check()
        assert json.loads(data_files.read_text(path_of(output))) == OTHER


def test_other_plan_is_refused(waited):
    output = "ram://lease/plan"
    with reserve(output, PLAN):
        pass
    assert_refused(output, "holds a build with short_side 32, not 48", {**PLAN, "short_side": 48})


@pytest.mark.parametrize("name", ["plan", "claim"])
def test_damaged_file_of_a_job_is_named(waited, name):
    output = f"ram://lease/damaged_{name}"
    data_files.make_directory(f"{output}/.build")
    with tf_io.gfile.GFile(f"{output}/.build/{name}.json", "wb") as file:
        file.write(b'{"id": "\xff"}')
    assert_refused(output, f"{name}.json is not JSON")


def test_two_writers_of_one_file_use_separate_partial_files(monkeypatch):
    """The other writer renames its file between this one's write and rename."""
    path, rename = "ram://lease/one/text", tf_io.gfile.rename

    def other_first(source, target, overwrite):
        monkeypatch.setattr(tf_io.gfile, "rename", rename)
        data_files.write_text(path, "other")
        rename(source, target, overwrite)

    data_files.make_directory("ram://lease/one")
    monkeypatch.setattr(tf_io.gfile, "rename", other_first)
    data_files.write_text(path, "own")
    assert data_files.read_text(path) == "own"
    assert data_files.list_directory("ram://lease/one") == ["text"]


@pytest.mark.parametrize(
    ("number", "message"), [(errno.EAGAIN, "in use by another"), (errno.ENOLCK, "cannot write .*")]
)
def test_file_system_without_locks_is_not_in_use(tmp_path, monkeypatch, number, message):
    def refused(*given):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    assert_refused(str(tmp_path), message)


def test_directory_with_other_content_is_refused(waited):
    data_files.make_directory("ram://lease/full")
    data_files.write_text("ram://lease/full/thesis.txt", "text")
    assert_refused("ram://lease/full", "is not empty and holds no shards")
    assert data_files.list_directory("ram://lease/full") == ["thesis.txt"]


def test_complete_directory(own, waited):
    plan, output = plan_of(own), "ram://lease/complete"
    manifest = run_job(plan, output)
    before = remote_files(output)
    with reserve(output, plan.identity) as reservation:
        assert reservation.manifest == manifest
    assert_refused(output, "holds a build with")
    assert remote_files(output) == before
