"""More shards than files that a process may hold open at first."""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from repository import ROOT
from small_shards import write_shards

from rlstm_tf.data import descriptors
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError

# Both stay open, as the two streams of a fusion do.
OPENS_TWO = """
import resource, sys
from rlstm_tf.data.shards import Shards
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
opened = [Shards.open(directory, "train") for directory in sys.argv[1:]]
print(*(len(shards.read_frames(319, [0])) for shards in opened), sep=",")
"""
# In a process of its own: how many files the other tests hold open is theirs to know.
COUNTS = """
import os, resource, sys
from rlstm_tf.data.shards import Shards
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
before = len(os.listdir("/proc/self/fd"))
shards = Shards.open(sys.argv[1], "train")
opened = len(os.listdir("/proc/self/fd")) - before
limit, after = resource.getrlimit(resource.RLIMIT_NOFILE)
assert after == hard
print(opened, limit - before)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    directory = tmp_path_factory.mktemp("many") / "shards"
    write_shards(directory, [1] * 320, num_shards=320)
    return str(directory)


def _run(program, *directories):
    return subprocess.run(
        [sys.executable, "-c", program, *directories],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def few_files():
    """A soft limit that is too low, as long as the test lasts; the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_raised_for_every_directory(many):
    done = _run(OPENS_TWO, many, many)
    assert (done.returncode, done.stdout) == (0, "1,1\n"), done.stderr


def test_no_more_files_are_open_than_were_asked_for(many):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("the open files cannot be counted here")
    done = _run(COUNTS, many)
    assert done.returncode == 0, done.stderr
    opened, raised = map(int, done.stdout.split())
    assert 0 < opened <= 2 * 320
    assert raised == 2 * 320 + 512


def test_a_limit_that_cannot_be_raised(few_files):
    if few_files == resource.RLIM_INFINITY:
        pytest.skip("there is no hard limit here")
    with pytest.raises(DataError, match=rf"the system allows {few_files} files \(ulimit -n\)"):
        descriptors.raise_open_file_limit(few_files)


@pytest.mark.parametrize(
    ("number", "limit"), [(errno.EMFILE, "ulimit -n"), (errno.ENOMEM, "vm.max_map_count")]
)
def test_a_map_that_is_refused(many, monkeypatch, number, limit):
    load = np.load

    def refused(path, mmap_mode=None, **options):
        if mmap_mode:
            raise OSError(number, os.strerror(number))
        return load(path, **options)

    monkeypatch.setattr(np, "load", refused)
    with pytest.raises(DataError, match=rf"frames.npy: {os.strerror(number)} \(.*{limit}"):
        Shards.open(many, "train")
