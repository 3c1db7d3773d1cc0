"""Bad requests to an exported network, alone and among good ones: errors, and it lives on."""

import resource

import cv2
import numpy as np
import pytest
import tensorflow as tf
from exports import jpegs, promising, videos

from benchmarks import load
from rlstm_tf.serving.artifact import ModelMetadata

FRAMES, FILES = videos(1), jpegs(videos(1))
PNG = tf.io.encode_png(FRAMES[0, 0]).numpy()


def with_file(content):
    files = FILES.copy()
    files[0, 1] = content
    return files


def many_scans(file):
    """A progressive JPEG whose last scan comes a hundred times more."""
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + 100 * last + content[-2:]


# Name -> request, and what the error says.
BAD = {
    "rank 4": (FRAMES[0], r"frames must be uint8 \[batch, 2, height, width, 3\].*\[2 32 32 3\]"),
    "rank 6": (FRAMES[..., None], "frames must be uint8"),
    "rank 0": (FRAMES[0, 0, 0, 0, 0], "frames must be uint8"),
    "float32": (FRAMES.astype(np.float32), "uint8"),
    "int32": (FRAMES.astype(np.int32), "uint8"),
    "three segments": (videos(1, 3), r"frames must be uint8 \[batch, 2,"),
    "four videos of one segment": (videos(4, 1), r"frames must be uint8 \[batch, 2,"),
    "one channel": (FRAMES[..., :1], r"height, width, 3\]"),
    "no video": (FRAMES[:0], "batch may hold 1 to 64 videos"),
    "65 videos": (np.repeat(FRAMES, 65, 0), "batch may hold 1 to 64 videos"),
    "no rows": (FRAMES[:, :, :0], "frames must be uint8"),
    "a line": (videos(1, 2, 2, 40), "up to 16 times its short one"),
    "too large": (np.zeros((1, 2, 4097, 4096, 3), np.uint8), "1 to 16777216 pixels"),
    "files of rank 1": (FILES[0], r"JPEG or PNG files \[batch, 2\]"),
    "files of one segment": (FILES[:, :1], r"JPEG or PNG files \[batch, 2\]"),
    "no files": (FILES[:0], "batch may hold 1 to 64 videos"),
    "numbers for files": (np.zeros((1, 2), np.uint8), "string"),
    "an empty file": (with_file(b""), "must hold JPEG or PNG files"),
    "no JPEG": (with_file(b"no picture"), "must hold JPEG or PNG files"),
    "half a PNG": (with_file(PNG[: len(PNG) // 2]), "Invalid PNG"),
    "a header of a PNG alone": (with_file(PNG[:16]), "1 to 16777216 pixels"),
    "a bomb of a PNG": (with_file(PNG[:16] + b"\0\0\x7f\0" * 2 + PNG[24:]), "1 to 16777216 pixels"),
    "a header alone": (with_file(FILES[0, 1][:30]), "Invalid JPEG"),
    "half a file": (with_file(FILES[0, 1][: len(FILES[0, 1]) // 2]), "Invalid JPEG"),
    "a bomb": (with_file(promising(FILES[0, 1], 30_000, 30_000)), "1 to 16777216 pixels"),
    "a bomb of one row": (with_file(promising(FILES[0, 1], 1, 60_000)), "up to 16 times"),
    "many scans": (with_file(many_scans(FILES[0, 1])), "up to 100 scans"),
    "a height to come": (with_file(promising(FILES[0, 1], 0, 32)), "JPEG|pixels"),
}


def request_of(name):
    value, message = BAD[name]
    of_files = value.dtype == object or "files" in name
    return (
        ("serve_jpeg", "frames_bytes", value, message)
        if of_files
        else (
            "serving_default",
            "frames",
            value,
            message,
        )
    )


def answered(signatures, session, way, signature, key, value):
    """Logits, asked for in one of two ways."""
    if way == "server":
        return session.run(signature, {key: value})["logits"]
    return signatures[signature](**{key: tf.constant(value)})["logits"].numpy()


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("way", ["python", "server"])
def test_each_is_an_error_and_the_next_is_answered(
    small_run, small_signatures, small_session, survived, name, way
):
    signature, key, value, message = request_of(name)
    expected = small_run.model(FRAMES).numpy()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    errors = (tf.errors.InvalidArgumentError, ValueError, TypeError)
    with pytest.raises(errors, match=f"(?s){message}"):
        answered(small_signatures, small_session, way, signature, key, value)
    # Kilobytes; 30,000 x 30,000 pixels are 2.7 GB. What is sent itself is not counted twice.
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown < 300_000 + 3 * value.nbytes / 1000
    found = answered(small_signatures, small_session, way, "serving_default", "frames", FRAMES)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    survived(14, 1)


def test_among_good_ones_from_eight_threads(small_export, small_signatures, times, survived):
    """No good request fails or is answered wrongly, no bad one is answered, memory stays."""
    metadata = ModelMetadata.read(small_export / "1")
    # So large that a request which leaves its frames behind is noticed.
    good = load.good_requests(small_signatures, metadata, (1, 2), (480, 640))
    bad = load.bad_requests(metadata)
    load.load(small_signatures, good, bad, 200, 8)
    count = times(1000, 300)
    result = load.load(small_signatures, good, bad, count, 8)
    assert (result.good, result.bad) == (count - count // 10, count // 10)
    assert (result.failed, result.wrong, result.accepted) == (0, 0, 0)
    frames = [r.inputs["frames"].nbytes / 1e6 for r in good if "frames" in r.inputs]
    sent = result.good / len(good) * sum(frames)
    start, end, _ = result.megabytes
    assert sent > 300
    assert end - start < sent / 4
    survived(14, result.bad)
