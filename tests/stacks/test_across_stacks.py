"""Work passed between the stacks: one reads the shards, runs and exports of the other.

Both ways in one go, in the suite of the addons stack: `make test-addons` makes both environments.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import tensorflow as tf
from builds import arguments, files
from command_lines import execute
from repository import HELPERS, ROOT

from rlstm_tf import compat
from rlstm_tf.data.shards import Shards
from rlstm_tf.evaluation import score_files as scores
from rlstm_tf.runs.checkpoints import Checkpoints
from rlstm_tf.serving.artifact import find_newest_version, load_signatures

DEFAULT = ROOT / ".venv" / "bin" / "python"
SMALL = (
    *("--model=two_branch", "--backbone=tiny_resnetv2", "--weights=none", "--num_segments=2"),
    *("--image_size=32", "--batch_size=2", "--learning_rate=1e-3", "--val_subset=none"),
    *("--batch_norm=batch", "--batch_norm_momentum=0.5", "--epochs=2", "--resume"),
)
FLOWS = ("dis", "tvl1")
CLOSE = {"rtol": 0, "atol": 1e-4}

pytestmark = pytest.mark.skipif(
    compat.KERAS_3, reason="make test-addons tests both ways, with an environment of each stack"
)


class Stack(NamedTuple):
    """Work of a stack, and what the other one has made of it.

    Attributes:
        path: directory of all of it.
        shards: what it was trained on.
    """

    path: Path
    shards: Path

    def make(self, videos):
        """Command lines: shards of flow, a run of two epochs, its scores, its export."""
        for method in FLOWS:
            flow = ("--stream=temporal", f"--flow={method}")
            yield ["tfrecords_tools.build", *arguments(videos, self.path / method, *flow)]
        yield self.train("run")
        yield self.evaluate("scores")
        directories = (f"--run_dir={self.path / 'run'}", f"--output={self.path / 'saved'}")
        yield ["rlstm_tf.export", *directories, "--nowarmup"]

    def stop(self):
        """A copy of the run, as one that was stopped after its first epoch."""
        shutil.copytree(self.path / "run", self.path / "stopped")
        Checkpoints(self.path / "stopped" / "checkpoints").all()[-1].unlink()

    def take_up(self, videos):
        """Command lines for the other stack: scores, the second epoch, answers to the videos."""
        yield self.evaluate("others_scores")
        yield self.train("stopped")
        given = [f"--videos={videos / video}" for video in self.scores("scores").ids]
        yield ["rlstm_tf.predict", f"--model={self.path / 'saved'}", "--json", *given]

    def train(self, name):
        return ["rlstm_tf.train", f"--data={self.shards}", f"--run_dir={self.path / name}", *SMALL]

    def evaluate(self, name):
        run, output = f"--run_dir={self.path / 'run'}", f"--output={self.path / name}"
        return ["rlstm_tf.evaluate", run, output, "--split=train"]

    def scores(self, name):
        return scores.load(self.path / name)[0]

    def last_checkpoint(self, name):
        """Its number of steps, and its arrays."""
        state, info, _ = Checkpoints(self.path / name / "checkpoints").require_newest()
        return info["step"], state


class Crossing(NamedTuple):
    """Both stacks, and for each the logits by which the other one's `predict` answered."""

    stacks: dict[str, Stack]
    answers: dict[str, list[list[float]]]


def answers_of(output):
    return [json.loads(line)["logits"] for line in output.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def default():
    """The Python of the default stack."""
    finds = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('tensorflow'))"
    if not DEFAULT.exists() or subprocess.run([DEFAULT, "-c", finds], check=False).returncode:
        pytest.skip(f"needs TensorFlow in {DEFAULT}: make .venv/installed-dev")
    return DEFAULT


@pytest.fixture(scope="module")
def crossing(default, own, built, tmp_path_factory):
    root = tmp_path_factory.mktemp("stacks")
    addons = Stack(root / "addons", built)
    other = Stack(root / "default", root / "default" / "rgb")
    execute(addons.make(own))
    addons.stop()
    lines = [["tfrecords_tools.build", *arguments(own, other.shards)]]
    lines += [*other.make(own), *addons.take_up(own)]
    process = subprocess.run(
        [default, HELPERS / "command_lines.py", json.dumps(lines)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    other.stop()
    with contextlib.redirect_stdout(io.StringIO()) as output:
        execute(other.take_up(own))
    answers = {"addons": answers_of(process.stdout), "default": answers_of(output.getvalue())}
    return Crossing({"addons": addons, "default": other}, answers)


def test_shards_are_the_same_bytes(crossing):
    addons, default = (files(crossing.stacks[name].shards) for name in ("addons", "default"))
    assert len(addons) > 3
    assert addons == default


@pytest.mark.parametrize("method", FLOWS)
def test_flow_is_the_same_but_for_the_rounding_of_two_releases_of_opencv(crossing, method):
    """The addons stack has OpenCV 4.11: later ones want a NumPy that TensorFlow 2.15 does not."""
    of_stacks = [
        Shards.open(str(stack.path / method), "train") for stack in crossing.stacks.values()
    ]
    assert of_stacks[0].ids == of_stacks[1].ids
    assert of_stacks[0].num_frames.tolist() == of_stacks[1].num_frames.tolist()
    for video, count in enumerate(of_stacks[0].num_frames):
        fields = [
            [cv2.imdecode(np.frombuffer(field, np.uint8), cv2.IMREAD_UNCHANGED) for field in stored]
            for stored in (shards.read_frames(video, range(count)) for shards in of_stacks)
        ]
        # Of levels of 0.16 pixels.
        assert np.abs(np.subtract(*fields, dtype=float)).mean() < 0.25


@pytest.mark.parametrize("maker", ["addons", "default"])
def test_the_other_stack_scores_a_run_alike(crossing, maker):
    stack = crossing.stacks[maker]
    own, others = stack.scores("scores"), stack.scores("others_scores")
    assert own.ids == others.ids
    # Other videos would be noticed.
    assert np.abs(own.logits[0] - own.logits[1]).max() > 10 * CLOSE["atol"]
    np.testing.assert_allclose(others.logits, own.logits, **CLOSE)


@pytest.mark.parametrize("maker", ["addons", "default"])
def test_the_other_stack_goes_on_with_a_run_as_its_own_would(crossing, maker):
    """Weights, statistics, momentum and what counts steps: every array of the last checkpoint."""
    stack = crossing.stacks[maker]
    (steps, own), (others_steps, others) = map(stack.last_checkpoint, ("run", "stopped"))
    assert steps == others_steps
    assert list(own) == list(others)
    for name in own:
        assert own[name].dtype == others[name].dtype
        np.testing.assert_allclose(others[name], own[name], **CLOSE, err_msg=name)
    # Momentum that was lost would be noticed.
    slots = [value for name, value in own.items() if name.startswith("optimizer/") and value.ndim]
    assert max(np.abs(value).max() for value in slots) > 10 * CLOSE["atol"]


@pytest.mark.parametrize("maker", ["addons", "default"])
def test_the_other_stack_answers_with_an_exported_network(crossing, maker):
    expected = crossing.stacks[maker].scores("scores").logits
    np.testing.assert_allclose(crossing.answers[maker], expected, **CLOSE)


def test_jpegs_too_are_understood_by_the_older_tensorflow(crossing):
    """TensorFlow promises no more than that the newer one loads what the older one has saved."""
    stack = crossing.stacks["default"]
    signature = load_signatures(find_newest_version(stack.path / "saved"))["serve_jpeg"]
    shards = Shards.open(str(stack.shards), "train")
    jpegs = np.array([shards.read_frames(0, [0, 1])], object)
    assert np.isfinite(signature(frames_bytes=tf.constant(jpegs))["logits"]).all()
