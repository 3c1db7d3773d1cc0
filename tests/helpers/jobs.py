"""Jobs without Beam, and remote directories, for tests."""

from __future__ import annotations

from pathlib import Path

from rlstm_tf.storage import files as data_files
from tfrecords_tools.builder import distributed_build
from tfrecords_tools.builder.output_directory import reserve
from tfrecords_tools.builder.plan import make_plan
from tfrecords_tools.datasets.folder import read_folder


def plan_of(videos):
    """Makes the plan of a build with `builds.arguments`."""
    settings = {"short_side": 32, "jpeg_quality": 95, "frames_per_record": 512}
    settings.update(test_share=None, val_share=0.0, val_seed=0)
    return make_plan(read_folder(str(videos)), "spatial", settings, 2)


def start_job(plan, output, stored=()):
    """Writes the list of shards; returns the job and the position of each shard in the list."""
    listings = distributed_build.write_shard_list(plan, output, dict(stored))
    return distributed_build.Job(output, plan.dataset.classes, plan.settings, workers=1), listings


def start_and_kill(plan, output):
    """Starts a job that is killed before its first shard."""
    with reserve(output, plan.identity):
        return start_job(plan, output)


def run_job(plan, output, stored=()):
    """Runs a job as tfrecords_tools.beam does, without Beam; returns the manifest."""
    return distributed_build.build(
        plan, output, 1, dict(stored), (), distributed_build.build_in_sequence
    )


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
