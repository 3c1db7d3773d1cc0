"""The signatures of streams: equal to the clip network, windows, refused states."""

import numpy as np
import pytest
import tensorflow as tf
from exports import (
    CLASSES,
    SMALL,
    decoded,
    jpegs,
    make_run,
    run_export,
    videos,
)

from rlstm_tf.serving.artifact import load_signatures
from rlstm_tf.serving.stream_signatures import fingerprint, pick_state

CLOSE = {"rtol": 0, "atol": 1e-4}
STREAM = {"init_state", "step", "step_jpeg"}


def begin(signatures, count, decay=1.0):
    return signatures["init_state"](decay=tf.fill([count], decay))


def steps(signatures, snippets, signature="step", name="frames"):
    """Logits after each of [batch, length, ...]."""
    answer, logits = begin(signatures, len(snippets)), []
    for snippet in snippets.swapaxes(0, 1):
        answer = signatures[signature](**{name: tf.constant(snippet)}, **pick_state(answer))
        logits.append(answer["logits"].numpy())
    return logits


def center(frames, size=32):
    y, x = (np.array(frames.shape[2:4]) - size) // 2
    return frames[:, :, y : y + size, x : x + size]


def test_steps_equal_the_clip(small_run, small_signatures):
    """Frames are cropped as those of a clip; other sizes resized likewise."""
    frames = videos(3, height=40, width=53)
    found = steps(small_signatures, frames)
    np.testing.assert_allclose(found[-1], small_run.model(center(frames)).numpy(), **CLOSE)
    assert np.abs(found[0] - found[1]).max() > 100 * CLOSE["atol"]
    frames = videos(1, height=64, width=80)
    expected = small_signatures["serving_default"](frames=tf.constant(frames))["logits"]
    np.testing.assert_allclose(steps(small_signatures, frames)[-1], expected, **CLOSE)


def test_steps_with_jpegs(small_run, small_signatures):
    files = jpegs(videos(2))
    seen = np.stack([decoded(file) for file in files.ravel()]).reshape(2, 2, 32, 32, 3)
    found = steps(small_signatures, files, "step_jpeg", "frames_bytes")
    np.testing.assert_allclose(found[-1], small_run.model(seen).numpy(), **CLOSE)


def test_outputs_of_a_step(small_signatures):
    """Those of a clip beside the state, whose names and types are those of the inputs."""
    frames = tf.constant(videos(2)[:, 0])
    first = begin(small_signatures, 2)
    answer = small_signatures["step"](frames=frames, **first)
    clip = small_signatures["serving_default"](frames=tf.constant(videos(2)))
    assert set(answer) == set(clip) | set(first)
    assert {label.decode() for label in answer["top_labels"].numpy().ravel()} <= set(CLASSES)
    for name, value in first.items():
        assert (answer[name].dtype, answer[name].shape) == (value.dtype, value.shape)


def test_each_stream_has_its_decay(small_signatures):
    """A stream that forgets all answers as one that begins."""
    frames = videos(1)
    both = np.repeat(frames, 2, axis=0)
    answer = small_signatures["init_state"](decay=tf.constant([1.0, 0.0]))
    for snippet in both.swapaxes(0, 1):
        answer = small_signatures["step"](frames=tf.constant(snippet), **pick_state(answer))
    expected = [steps(small_signatures, frames)[1], steps(small_signatures, frames[:, 1:])[0]]
    np.testing.assert_allclose(answer["logits"], np.concatenate(expected), **CLOSE)


def test_states_of_others_are_refused(small_session):
    """Of another batch, of other sizes, of a network of the same sizes."""

    def refused(message, **changes):
        state = small_session.run("init_state", {"decay": np.ones(2, np.float32)})
        inputs = {"frames": videos(2)[:, 0], **state, **changes}
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            small_session.run("step", inputs)
        assert message in caught.value.message

    assert "logits" in small_session.run(
        "step",
        {
            "frames": videos(2)[:, 0],
            **small_session.run("init_state", {"decay": np.ones(2, np.float32)}),
        },
    )
    refused("a row for each stream", frames=videos(3)[:, 0])
    refused("a row for each stream", state_H=np.zeros((1, 4, 4, 32), np.float32))
    refused(
        "state_H must be [batch, 4, 4, 32], as this network gives it; its shape is",
        state_H=np.zeros((2, 4, 4, 16), np.float32),
    )
    refused("state_decay must be [batch]", state_decay=np.ones((2, 1), np.float32))
    refused("the state is not of this network", state_network=np.zeros(2, np.int32))
    for decay in (-0.1, 1.1, np.nan):
        with pytest.raises(tf.errors.InvalidArgumentError, match="decay must be 0 to 1"):
            small_session.run("init_state", {"decay": np.array([1.0, decay], np.float32)})
    with pytest.raises(tf.errors.InvalidArgumentError, match="1 to 64 videos"):
        small_session.run("init_state", {"decay": np.ones(65, np.float32)})


def test_the_number_of_a_network_follows_from_its_weights(small_run):
    number = fingerprint(small_run.model)
    assert 0 <= number < 2**31
    assert fingerprint(small_run.model) == number
    logits = small_run.model.get_layer("logits")
    kernel, bias = logits.get_weights()
    logits.set_weights([kernel, bias + 1e-6])
    try:
        assert fingerprint(small_run.model) != number
    finally:
        logits.set_weights([kernel, bias])


def test_flow(temporal_run, temporal_signatures):
    assert set(temporal_signatures) == {"serving_default", "serve_flow", "init_state", "step"}
    levels = videos(2, 2, 40, 50, channels=4)
    found = steps(temporal_signatures, levels)
    np.testing.assert_allclose(found[-1], temporal_run.model(center(levels)).numpy(), **CLOSE)
    with pytest.raises(tf.errors.InvalidArgumentError, match="short side of 40 pixels"):
        steps(temporal_signatures, videos(1, 2, 44, 50, channels=4))


def test_a_network_in_both_directions_needs_a_window(tmp_path, capsys):
    run = make_run(tmp_path / "run", *SMALL, "--bidirectional")
    arguments = [f"--run_dir={run.path}", f"--output={tmp_path / 'a'}", "--nowarmup"]
    assert run_export(*arguments) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "streams" in line]
    assert line.startswith("no signatures for streams: a bidirectional two_branch cannot stream")
    assert not STREAM & set(load_signatures(tmp_path / "a" / "1"))
    assert run_export(*arguments, "--window=2") == 0
    signatures = load_signatures(tmp_path / "a" / "2")
    frames = videos(2, 4)
    found = steps(signatures, frames)
    np.testing.assert_allclose(found[1], run.model(frames[:, :2]).numpy(), **CLOSE)
    np.testing.assert_allclose(found[3], run.model(frames[:, 2:]).numpy(), **CLOSE)


def test_a_network_without_a_state_has_no_signatures(tmp_path, capsys):
    run = make_run(tmp_path / "run", *SMALL, "--model=transformer")
    arguments = [f"--run_dir={run.path}", f"--output={tmp_path / 'a'}", "--nowarmup"]
    assert run_export(*arguments, "--window=2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: transformer cannot stream")
    assert not (tmp_path / "a").exists()
