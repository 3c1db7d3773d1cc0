"""More shards than files that a process may hold open at first."""

import resource

import pytest
from small_shards import write_shards

from rlstm_tf.data import files
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import DataError


@pytest.fixture
def few_files():
    """A soft limit that is too low, as long as the test lasts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_raised(tmp_path, few_files):
    write_shards(tmp_path / "shards", [1] * 320, num_shards=320)
    shards = Shards.open(str(tmp_path / "shards"), "train")
    assert len(shards) == 320
    assert len(shards.read_frames(319, [0])) == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (832, few_files)


def test_a_limit_that_cannot_be_raised(few_files):
    if few_files == resource.RLIM_INFINITY:
        pytest.skip("there is no hard limit here")
    with pytest.raises(DataError, match=f"the system allows {few_files} files"):
        files.allow_open(few_files)
