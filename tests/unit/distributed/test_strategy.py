"""Devices of one process; several are in tests/integration/test_workers.py."""

import json
import socket
from multiprocessing.pool import ThreadPool

import pytest
import tensorflow as tf

from rlstm_tf.data.batch_schedule import ALL
from rlstm_tf.distributed import strategy as strategy_module
from rlstm_tf.distributed.strategy import (
    assert_same,
    current_worker,
    distribute_batches,
    make_strategy,
    watch_workers,
)
from rlstm_tf.distributed.tf_config import Worker
from rlstm_tf.errors import DataError, UsageError


def test_single_process_is_the_chief(monkeypatch):
    # TF_CONFIG of another program is ignored without multi_worker.
    monkeypatch.setenv("TF_CONFIG", "{")
    worker = current_worker(make_strategy("none"))
    assert (worker.index, worker.count, worker.is_chief) == (0, 1, True)


def test_multi_worker_requires_tf_config(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match="needs TF_CONFIG"):
        make_strategy("multi_worker")


def test_multi_worker_reports_why_it_cannot_join(monkeypatch):
    def refuse():
        raise tf.errors.UnknownError(None, None, "Could not start gRPC server\nand more")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", refuse)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {"cluster": {"worker": [address]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    message = f"^worker 0 of 1, at {address}, cannot join the others: Could not start gRPC server$"
    with pytest.raises(DataError, match=message):
        make_strategy("multi_worker")


def test_one_device_takes_all_rows():
    slices = []

    def make(replicas):
        slices.append(replicas)
        return tf.data.Dataset.range(3)

    dataset = distribute_batches(make_strategy("none"), make)
    assert [int(value) for value in dataset] == [0, 1, 2]
    assert slices == [ALL]


def test_assert_same_passes_for_one_process():
    assert_same(make_strategy("none"), "seed", 2**62)
    assert_same(make_strategy("mirrored"), "seed", -1)


def test_watch_workers_keeps_errors_of_a_single_process():
    strategy = make_strategy("none")
    with pytest.raises(tf.errors.UnavailableError), watch_workers(strategy):
        raise tf.errors.UnavailableError(None, None, "a file system")


def test_watch_workers_closes_pools_of_failed_sums(monkeypatch):
    pools = []

    def eager_sum():
        pool = ThreadPool(1)
        pools.append(pool)
        raise tf.errors.UnavailableError(None, None, "gone")

    monkeypatch.setattr(
        strategy_module, "current_worker", lambda strategy: Worker(0, 2, "a:1", "a:1")
    )
    lost = pytest.raises(DataError, match="another worker has ended")
    with lost, watch_workers(None):
        eager_sum()
    with pytest.raises(ValueError, match="Pool not running"):
        pools[0].map(str, [1])
