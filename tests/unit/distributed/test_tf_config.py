"""Reading TF_CONFIG, and its error messages."""

import json

import pytest

from rlstm_tf.distributed.tf_config import Worker, read_worker
from rlstm_tf.errors import UsageError

TWO = ["a:1", "b:2"]


def config(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (config({"worker": TWO}), Worker(0, 2, "a:1", "a:1")),
        (config({"worker": TWO}, index=1), Worker(1, 2, "b:2", "a:1")),
        (config({"worker": TWO}, index="1"), Worker(1, 2, "b:2", "a:1")),
        (config({"worker": TWO, "chief": ["c:3"]}, "chief"), Worker(0, 3, "c:3", "c:3")),
        (config({"worker": TWO, "chief": ["c:3"]}), Worker(1, 3, "a:1", "c:3")),
        (config({"worker": TWO, "chief": ["c:3"]}, index=1), Worker(2, 3, "b:2", "c:3")),
        (config({"worker": ["[::1]:80"]}), Worker(0, 1, "[::1]:80", "[::1]:80")),
    ],
)
def test_read_worker(text, expected):
    worker = read_worker(text)
    assert worker == expected
    assert worker.is_chief == (expected.index == 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"needs TF_CONFIG in the environment, such as \{\"cluster\""),
        ("", "needs TF_CONFIG"),
        ("{", "TF_CONFIG is not JSON"),
        ("[1]", r"TF_CONFIG=\[1\]: must look like"),
        ("{}", 'TF_CONFIG has no "cluster"'),
        (config({}), 'TF_CONFIG has no "cluster"'),
        (config(TWO), 'TF_CONFIG has no "cluster"'),
        (json.dumps({"cluster": {"worker": TWO}}), 'TF_CONFIG has no "task"'),
        (config({"worker": TWO}, None), 'TF_CONFIG has no "task"'),
        (config({"worker": TWO}, index=None), 'TF_CONFIG has no "task"'),
        (config({"worker": TWO}, index=True), 'TF_CONFIG has no "task"'),
        (config({"worker": TWO}, index=-1), 'TF_CONFIG has no "task"'),
        (config({"worker": TWO}, index=2), 'is worker 2, "cluster" has 2, numbered from 0'),
        (config({"worker": TWO}, "chief"), 'is a chief, "cluster" has worker'),
        (config({"worker": TWO}, "evaluator"), 'is a evaluator, "cluster" has worker'),
        (config({"worker": TWO, "ps": ["c:3"]}), "has ps and worker; chief and worker are allowed"),
        (config({"worker": TWO, "chief": ["c:3", "d:4"]}), "has 2 chiefs"),
        (config({"worker": ["a:1", "a:1"]}), "occurs twice"),
        (config({"worker": TWO, "chief": ["a:1"]}), "occurs twice"),
        (config({"worker": "a:1"}), 'worker is "a:1", must be a list of HOST:PORT'),
        (config({"worker": ["a"]}), "must be a list of HOST:PORT"),
        (config({"worker": [":1"]}), "must be a list of HOST:PORT"),
        (config({"worker": ["a:0"]}), "must be a list of HOST:PORT"),
        (config({"worker": ["a:65536"]}), "must be a list of HOST:PORT"),
        (config({"worker": [1]}), "must be a list of HOST:PORT"),
    ],
)
def test_invalid_tf_config(text, message):
    with pytest.raises(UsageError, match=message):
        read_worker(text)
