"""Rows 2 and 9 on several workers: one is killed or differs, all end; started again they go on."""

import random
import re
import signal
import time

import pytest
from trainings import assert_same_weights, error_of, history, scalars, start
from workers import free_addresses, tf_config

MORE = ("--epochs=5", "--save_every=2", "--strategy=multi_worker")


def start_two(shards, run_dir):
    addresses = free_addresses(2)
    return [
        start(shards, run_dir, *MORE, TF_CONFIG=tf_config(addresses, index)) for index in range(2)
    ]


def ended(processes):
    """Their outputs and statuses."""
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    return outputs, [process.returncode for process in processes]


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """A run of two workers never stopped."""
    run_dir = tmp_path_factory.mktemp("workers") / "run"
    outputs, statuses = ended(start_two(shards, run_dir))
    assert statuses == [0, 0], outputs
    return run_dir


def assert_as_never_stopped(run_dir, whole):
    assert_same_weights(run_dir, whole)
    assert history(run_dir) == history(whole)
    assert scalars(run_dir) == scalars(whole)


def wait_for_steps(processes, run_dir, count):
    """Until checkpoints of `count` more steps are there."""
    known = set(run_dir.glob("checkpoints/step-*.npz"))
    while count > 0 and all(process.poll() is None for process in processes):
        new = set(run_dir.glob("checkpoints/step-*.npz")) - known
        count -= len(new)
        known |= new
        time.sleep(0.002)


@pytest.mark.timeout(900)
def test_a_killed_worker(shards, thorough, whole, tmp_path, survived):
    """The chief and the other in turn; the one that lives says so and ends."""
    wanted = 4
    draws = random.Random(7)
    kills = 0
    run_dir = tmp_path / "run"
    while kills < wanted:
        processes = start_two(shards, run_dir)
        wait_for_steps(processes, run_dir, draws.randrange(1, 3))
        victim = kills % 2
        processes[victim].kill()
        outputs, statuses = ended(processes)
        if 0 in statuses:  # all was over
            last = max(path.name for path in whole.glob("checkpoints/step-*.npz"))
            assert (run_dir / "checkpoints" / last).exists(), outputs
            break
        assert statuses[victim] == -signal.SIGKILL
        assert statuses[1 - victim] == 1, outputs
        said, error, rest = outputs[1 - victim].partition("\nerror: another worker has ended")
        assert error, outputs[1 - victim]
        assert "Traceback" not in said
        assert not rest.partition("\n")[2], rest
        kills += 1
    outputs, statuses = ended(start_two(shards, run_dir))
    assert statuses == [0, 0], outputs
    assert_as_never_stopped(run_dir, whole)
    assert kills
    survived(2, kills)


def test_sigterm_to_one_worker_stops_all_after_the_same_step(
    shards, thorough, whole, tmp_path, survived
):
    run_dir = tmp_path / "run"
    processes = start_two(shards, run_dir)
    wait_for_steps(processes, run_dir, 1)
    processes[1].send_signal(signal.SIGTERM)
    outputs, statuses = ended(processes)
    if statuses[0] == 0:  # it came after the last step at which they ask each other
        assert statuses == [0, 0], outputs
    else:
        # The one that was not asked has not done what it was started for.
        assert statuses == [1, 0], outputs
        assert outputs[0].splitlines()[-1].startswith("error: another worker was asked to stop")
        steps = [re.search(r"after step (\d+), which is saved", output)[1] for output in outputs]
        assert steps == ["10", "10"]
        outputs, statuses = ended(start_two(shards, run_dir))
        assert statuses == [0, 0], outputs
    assert_as_never_stopped(run_dir, whole)
    survived(2, 1)


def test_workers_with_other_flags(shards, tmp_path, survived):
    """One line that names the flag; nothing is written."""
    addresses = free_addresses(2)
    processes = [
        start(
            *(shards, tmp_path / "run", *MORE, f"--momentum=0.{8 + index}"),
            TF_CONFIG=tf_config(addresses, index),
        )
        for index in range(2)
    ]
    outputs, statuses = ended(processes)
    assert statuses == [1, 1]
    for output in outputs:
        assert "the workers differ in the checksum of --momentum: " in error_of(output)
    assert not (tmp_path / "run").exists()
    survived(9, 1)
