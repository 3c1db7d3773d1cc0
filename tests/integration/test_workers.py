"""One device, two replicas and two workers: the same rows, losses and scores; workers that end."""

import json
import signal
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest
from parallel_run import BATCH_SIZE, STEPS
from repository import HELPERS
from small_shards import flip_byte, texture_jpeg, write_shards
from warm_python import Python
from workers import free_addresses, tf_config

from rlstm_tf.data.sample_order import epoch_order
from rlstm_tf.data.shards import Shards
from rlstm_tf.distributed.startup_barrier import wait_for_workers
from rlstm_tf.distributed.tf_config import Worker

# Seconds after which a process hangs, on a machine that does other things too.
PATIENCE = 600
# 11 videos: neither an epoch nor the evaluation is a whole number of batches.
LENGTHS = [5, 12, 1, 7, 9, 20, 8, 16, 11, 3, 24]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("workers") / "shards"
    write_shards(directory, LENGTHS, image=texture_jpeg)
    return directory


def start(*arguments, **variables):
    line = [HELPERS / "parallel_run.py", *arguments]
    return Python(line, stderr=subprocess.PIPE, **variables)


@contextmanager
def two_workers(*arguments, data_of=None, chief=False):
    """Both processes, ended whatever happens."""
    addresses = free_addresses(2)
    workers = [
        start(
            "multi_worker",
            (data_of or {}).get(index, arguments[0]),
            *arguments[1:],
            TF_CONFIG=tf_config(addresses, index, chief),
        )
        for index in range(2)
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def finished(process):
    """Standard output and error of a process that must end by itself with status 0."""
    output, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, error
    return output, error


def result_of(process):
    return json.loads(finished(process)[0].splitlines()[-1])


def results_of(*arguments):
    """Returns the results of one device, of two replicas, and of both of two workers."""
    one, two = result_of(start("none", *arguments)), result_of(start("mirrored", *arguments))
    with two_workers(*arguments) as workers:
        return one, two, *[result_of(worker) for worker in workers]


@pytest.fixture(scope="module")
def results(data):
    return results_of(data)


def test_losses_are_those_of_one_device(results):
    """Dropout off, population statistics, momentum, weight decay."""
    assert_same_losses(results)


def test_losses_of_the_two_branch_network_are_those_of_one_device(thorough, data):
    assert_same_losses(results_of(data, "two_branch"))


def assert_same_losses(results):
    one, *others = results
    assert [result["replicas"] for result in results] == [1, 2, 2, 2]
    assert [result["worker"] for result in results] == [[0, 1], [0, 1], [0, 2], [1, 2]]
    assert len(set(one["losses"])) == STEPS
    for other in others:
        np.testing.assert_allclose(other["losses"], one["losses"], atol=1e-5)
        for a, b in zip(one["statistics"], other["statistics"]):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_losses_are_the_same_where_the_devices_augment(data):
    """Crops, colors, erased rectangles and mixed pairs."""
    assert_same_losses(results_of(data, "device"))


def test_losses_from_cached_maps_are_those_of_one_device(data):
    assert_same_losses(results_of(data, "maps"))


def test_rows_of_all_workers_are_the_epochs_in_order(results, data):
    one, two, first, second = results
    samples = Shards.open(str(data), "train").samples["video"]
    epochs = [samples[epoch_order(len(LENGTHS), 0, epoch)] for epoch in range(8)]
    expected = np.concatenate(epochs)[: STEPS * BATCH_SIZE].reshape(STEPS, BATCH_SIZE).tolist()
    assert [rows for (rows,) in one["rows"]] == expected
    assert [a + b for a, b in two["rows"]] == expected
    pairs = zip(first["rows"], second["rows"])
    assert [a + b for (a,), (b,) in pairs] == expected


def test_scores_are_those_of_one_device_in_every_process(results):
    """`Scorer` refuses videos that are missing or came twice."""
    one, *others = results
    assert np.shape(one["logits"]) == (len(LENGTHS), 3)
    for other in others:
        np.testing.assert_allclose(other["logits"], one["logits"], atol=1e-4)
    np.testing.assert_array_equal(results[2]["logits"], results[3]["logits"])


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_the_other(data, victim):
    with two_workers(data, "endless", chief=True) as workers:
        for line in workers[victim].stdout:
            if line == "step 3\n":
                break
        workers[victim].send_signal(signal.SIGKILL)
        survivor = workers[1 - victim]
        _, error = survivor.communicate(timeout=PATIENCE)
    assert survivor.returncode == 1
    assert error.splitlines()[-1].startswith("error: another worker has ended")
    assert "Traceback" not in error


def test_a_worker_with_damaged_data_ends_the_other(data, tmp_path):
    write_shards(tmp_path / "broken", LENGTHS)
    frames = np.load(tmp_path / "broken" / "train-00000-of-00002.frames.npy")
    path = tmp_path / "broken" / "train-00000-of-00002.tfrecord"
    for offset in frames["offset"]:
        flip_byte(path, int(offset) + 50)
    with two_workers(data, "endless", data_of={1: tmp_path / "broken"}) as workers:
        errors = [worker.communicate(timeout=PATIENCE)[1].splitlines()[-1] for worker in workers]
        assert [worker.returncode for worker in workers] == [1, 1]
    assert errors[0].startswith("error: another worker has ended")
    assert "checksum" in errors[1]


def test_workers_that_differ_are_refused(data, tmp_path):
    write_shards(tmp_path / "fewer", LENGTHS[:8])
    with two_workers(data, data_of={1: tmp_path / "fewer"}) as workers:
        errors = [worker.communicate(timeout=PATIENCE)[1].splitlines()[-1] for worker in workers]
        assert [worker.returncode for worker in workers] == [1, 1]
    assert errors == ["error: the workers differ in the number of samples: 8 and 11"] * 2


def test_workers_that_begin_with_other_weights_are_refused(data):
    with two_workers(data, "strangers") as workers:
        errors = [worker.communicate(timeout=PATIENCE)[1].splitlines()[-1] for worker in workers]
        assert [worker.returncode for worker in workers] == [1, 1]
    for error in errors:
        assert error.startswith("error: the workers differ in the checksum of the initial weights")


# Joins as an entry point does, with less patience.
JOIN = """
import sys
from rlstm_tf.cli import app as cli
from rlstm_tf.training import preemption as stopping
cli.load_tensorflow()
from rlstm_tf.distributed import strategy
strategy.TIMEOUT_S = float(sys.argv[1])
with stopping.handle_sigterm():
    strategy.make_strategy("multi_worker")
"""


@contextmanager
def left_alone(index, seconds):
    """A worker of two that joins the other, which has met it and ended: this process."""
    addresses = free_addresses(2)
    line, variables = ["-c", JOIN, str(seconds)], {"TF_CONFIG": tf_config(addresses, index)}
    process = Python(line, stderr=subprocess.PIPE, **variables)
    try:
        wait_for_workers(Worker(1 - index, 2, addresses[1 - index], addresses[0]), PATIENCE)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_left_alone_while_it_joins_ends_in_time(index):
    with left_alone(index, seconds=1) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert output.splitlines()[-1] == "all have started: joins them, or exits after 1 s"


def test_sigterm_ends_a_worker_that_joins():
    with left_alone(1, seconds=10 * PATIENCE) as process:
        for line in process.stdout:
            if line.startswith("all have started"):
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGTERM


def test_status_of_a_worker_without_its_address(data):
    process = start("multi_worker", data, TF_CONFIG='{"cluster": {"worker": ["a:1"]}}')
    output, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (2, "")
    assert error.startswith("error: TF_CONFIG")
    assert error.count("\n") == 1
