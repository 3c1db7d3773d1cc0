"""Devices of one process; several are in tests/integration/test_workers.py."""

import json
import socket
from multiprocessing.pool import ThreadPool

import pytest
import tensorflow as tf

from rlstm_tf.data.batch_schedule import WHOLE
from rlstm_tf.distributed import strategy as devices
from rlstm_tf.distributed.tf_config import Worker
from rlstm_tf.errors import DataError, UsageError


def test_one_process_is_the_chief_of_one(monkeypatch):
    # Set for another program, as on a cluster: no business of one process.
    monkeypatch.setenv("TF_CONFIG", "{")
    worker = devices.worker(devices.make_strategy("none"))
    assert (worker.index, worker.count, worker.is_chief) == (0, 1, True)


def test_workers_need_their_addresses(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match="needs TF_CONFIG"):
        devices.make_strategy("multi_worker")


def test_why_tensorflow_cannot_join_is_said(monkeypatch):
    def refuse():
        raise tf.errors.UnknownError(None, None, "Could not start gRPC server\nand more")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", refuse)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {"cluster": {"worker": [address]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    message = f"^worker 0 of 1, at {address}, cannot join the others: Could not start gRPC server$"
    with pytest.raises(DataError, match=message):
        devices.make_strategy("multi_worker")


def test_one_device_makes_all_rows():
    divisions = []

    def make(division):
        divisions.append(division)
        return tf.data.Dataset.range(3)

    dataset = devices.distribute(devices.make_strategy("none"), make)
    assert [int(value) for value in dataset] == [0, 1, 2]
    assert divisions == [WHOLE]


def test_one_process_agrees_with_itself():
    devices.check_same(devices.make_strategy("none"), "seed", 2**62)
    devices.check_same(devices.make_strategy("mirrored"), "seed", -1)


def test_an_error_of_ones_own_is_not_another_workers():
    strategy = devices.make_strategy("none")
    with pytest.raises(tf.errors.UnavailableError), devices.workers_watched(strategy):
        raise tf.errors.UnavailableError(None, None, "a file system")


def test_a_lost_worker_leaves_no_pool_open(monkeypatch):
    """As TensorFlow's eager sums leave theirs."""
    pools = []

    def eager_sum():
        pool = ThreadPool(1)
        pools.append(pool)
        raise tf.errors.UnavailableError(None, None, "gone")

    monkeypatch.setattr(devices, "worker", lambda strategy: Worker(0, 2, "a:1", "a:1"))
    lost = pytest.raises(DataError, match="another worker has ended")
    with lost, devices.workers_watched(None):
        eager_sum()
    with pytest.raises(ValueError, match="Pool not running"):
        pools[0].map(str, [1])
