"""Jobs without Beam, and remote directories, for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlstm_tf.errors import DataError
from rlstm_tf.storage import files as data_files
from tfrecords_tools.builder import distributed_build
from tfrecords_tools.builder.plan import make_plan
from tfrecords_tools.datasets.folder import read_folder


def plan_of(videos):
    """Makes the plan of a build with `builds.arguments`."""
    settings = {"short_side": 32, "jpeg_quality": 95, "frames_per_record": 512}
    settings.update(test_share=None, val_share=0.0, val_seed=0)
    return make_plan(read_folder(str(videos)), "spatial", settings, 2)


def start_and_kill(plan, output):
    """Starts a job that is killed before its first shard; returns the job and its listings."""
    started = []
    with pytest.raises(DataError, match="shards were not built"):
        run_job(plan, output, run=lambda *given: started.extend(given))
    return started


def run_job(plan, output, stored=(), left_out=(), run=distributed_build.build_in_sequence):
    """Runs a job as tfrecords_tools.beam does, without Beam; returns the manifest."""
    return distributed_build.build(plan, output, 1, dict(stored), left_out, run)


def remote_files(directory):
    """Reads the files of a directory, without those in folders such as .build; name -> content."""
    from tensorflow import io

    found = {}
    for name in data_files.list_directory(directory):
        path = f"{directory}/{name}"
        if not io.gfile.isdir(path):
            file = data_files.open_file(path)
            found[name] = file.read(0, file.size)
    return found


def upload(directory, target):
    """Copies a tree to ram://, which only this process sees; returns its URL."""
    from tensorflow import io

    for path in sorted(Path(directory).rglob("*")):
        place = f"{target}/{path.relative_to(directory)}"
        if path.is_dir():
            io.gfile.makedirs(place)
        else:
            io.gfile.makedirs(place.rsplit("/", 1)[0])
            data_files.copy(str(path), place)
    return target
