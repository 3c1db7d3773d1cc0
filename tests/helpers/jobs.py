"""Jobs without Beam, and directories that tf.io.gfile opens, for the tests of both."""

from __future__ import annotations

from pathlib import Path

from rlstm_tf.storage import files as data_files
from tfrecords_tools.builder import distributed_build, lease
from tfrecords_tools.builder.plan import make_plan
from tfrecords_tools.datasets.folder import read_folder


def plan_of(videos):
    """The plan that `builds.arguments` give a build."""
    settings = {"short_side": 32, "jpeg_quality": 95, "frames_per_record": 512}
    settings.update(test_share=None, val_share=0.0, val_seed=0)
    return make_plan(read_folder(str(videos)), "spatial", settings, 2)


def begin(plan, output, stored=()):
    """The job, and where each shard's videos are listed."""
    lines = distributed_build.write_list(plan, output, dict(stored))
    return distributed_build.Job(output, plan.dataset.classes, plan.settings, workers=1), lines


def started(plan, output):
    """A job that was killed before its first shard."""
    with lease.claimed(output, plan.identity):
        return begin(plan, output)


def run_job(plan, output, stored=()):
    """All that tfrecords_tools.beam does but Beam; returns the manifest."""
    return distributed_build.build(
        plan, output, 1, dict(stored), (), distributed_build.one_after_the_other
    )


def remote_files(directory):
    """Name and content of the files in a directory; those of a job under way are in a folder."""
    from tensorflow import io

    found = {}
    for name in data_files.list_directory(directory):
        path = f"{directory}/{name}"
        if not io.gfile.isdir(path):
            file = data_files.open_file(path)
            found[name] = file.read(0, file.size)
    return found


def upload(directory, target):
    """Copies a tree to ram://, which only this process sees; returns where it is."""
    from tensorflow import io

    for path in sorted(Path(directory).rglob("*")):
        place = f"{target}/{path.relative_to(directory)}"
        if path.is_dir():
            io.gfile.makedirs(place)
        else:
            io.gfile.makedirs(place.rsplit("/", 1)[0])
            data_files.copy(str(path), place)
    return target
