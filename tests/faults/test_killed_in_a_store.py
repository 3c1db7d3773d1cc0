"""All commands with `s3://`: build, verify, train, SIGKILL, resume, evaluate, export, predict.

Against a server of this machine, in processes of their own: where tensorflow-io has opened
something, its library aborts the process at its end, but for those of our entry points.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from trainings import assert_same_run, command, error_of, evaluate_here, train_here
from warm_python import Python

EPOCHS = "--epochs=3"
# Copies a run to a local directory, as all of its readers do.
FETCH = """
import shutil, sys
from rlstm_tf.cli import app as cli
from rlstm_tf.runs.remote import local_mirror
with local_mirror(sys.argv[1]) as copy:
    shutil.copytree(copy.path, sys.argv[2])
cli.leave(0)
"""


class Server:
    """An S3 server; `ask` it for what needs no signature."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        # tensorflow-io asks the first, fsspec the second.
        self.variables = {
            **{"S3_ENDPOINT": self.url, "AWS_ENDPOINT_URL": self.url},
            **{"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"},
            **{"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"},
            **{"AWS_EC2_METADATA_DISABLED": "true"},
        }

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        assert answer.status == 200, (method, path, answer.status)
        return answer.read().decode()

    def holds(self, prefix: str) -> str:
        return self.ask("GET", f"/bucket?list-type=2&prefix={prefix}")


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    server = Server()
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    line = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(server.port)]
    with log, subprocess.Popen(line, stdout=log, stderr=log) as process:
        for _ in range(600):
            try:
                server.ask("PUT", "/bucket")
                break
            except ConnectionError:
                assert process.poll() is None, Path(log.name).read_text()
                time.sleep(0.1)
        yield server
        process.kill()


def run(s3, *line):
    """Output of one of our commands, which must end well."""
    process = Python(["-m", *map(str, line)], **s3.variables)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def killed(s3, line, prefix, steps):
    """Kills a training once the store has its checkpoint after so many steps."""
    with Python(line, **s3.variables) as process:
        while f"step-{steps:09d}" not in s3.holds(prefix):
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.05)
        process.kill()
        process.stdout.close()


@pytest.fixture(scope="module")
def whole(shards, tmp_path_factory):
    """A run never disturbed, of shards and in a directory of this machine; evaluated."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    assert train_here(shards, run_dir, EPOCHS) == 0
    assert evaluate_here(run_dir) == 0
    return run_dir


@pytest.fixture(scope="module")
def stored(s3, shards):
    """The same shards, built into the store."""
    videos = shards.parent / "list.csv"
    flags = ["--dataset=folder", f"--videos={videos}", "--short_side=40", "--shards=2"]
    run(s3, "tfrecords_tools.build", *flags, "--workers=1", "--output=s3://bucket/shards")
    output = run(s3, "tfrecords_tools.verify", "s3://bucket/shards", "--decode")
    assert "match the manifest" in output
    return "s3://bucket/shards"


@pytest.fixture(scope="module")
def trained(s3, stored):
    """A run in the store that was killed and went on."""
    line = command(stored, "s3://bucket/runs/one", EPOCHS, "--save_every=1")
    killed(s3, line, "runs/one/", steps=2)
    assert "resumed from s3://bucket/runs/one/checkpoints/step-" in run(s3, *line[1:])
    return "s3://bucket/runs/one"


@pytest.mark.timeout(900)
def test_as_if_it_had_never_been_killed(s3, trained, whole, tmp_path):
    """The run, and what it was scored with."""
    output = run(s3, "rlstm_tf.evaluate", f"--run_dir={trained}", "--split=val")
    assert f"{trained}/evaluation/val/metrics.json" in output
    found = tmp_path / "run"
    process = Python(["-c", FETCH, trained, str(found)], **s3.variables)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert_same_run(found, whole)
    name = "evaluation/val/scores.npz"
    with np.load(found / name) as scores, np.load(whole / name) as expected:
        np.testing.assert_array_equal(scores["logits"], expected["logits"])


def test_a_run_is_not_begun_twice(s3, stored, trained):
    line = [text for text in command(stored, trained, EPOCHS) if text != "--resume"]
    process = Python(line, **s3.variables)
    output, _ = process.communicate()
    assert process.returncode == 2
    assert error_of(output).startswith("error: run_dir s3://bucket/runs/one already holds a run")


def test_export_and_predict(s3, trained, shards):
    flags = [f"--run_dir={trained}", "--output=s3://bucket/saved/one", "--nowarmup"]
    assert "version: s3://bucket/saved/one/1\n" in run(s3, "rlstm_tf.export", *flags)
    output = run(s3, "rlstm_tf.predict", shards.parent / "0.mp4", "--model=s3://bucket/saved/one")
    assert "0.mp4" in output


def test_shards_over_http(s3, shards):
    for path in shards.iterdir():
        s3.ask(
            "PUT", f"/bucket/public/{path.name}", path.read_bytes(), **{"x-amz-acl": "public-read"}
        )
    output = run(s3, "tfrecords_tools.verify", f"{s3.url}/bucket/public")
    assert "match the manifest" in output


def test_no_such_bucket(s3):
    process = Python(["-m", "tfrecords_tools.verify", "s3://none/shards"], **s3.variables)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert error_of(output).startswith("error: no shards in s3://none/shards: ")


def test_built_alike(s3, stored, shards):
    """The store holds what a directory does, byte for byte, and nothing else."""
    listed = s3.holds("shards/")
    for path in shards.iterdir():
        if path.is_file():
            assert f"<Key>shards/{path.name}</Key>" in listed
    assert listed.count("<Key>") == len(os.listdir(shards))
