"""Sends good and bad requests to an exported network from many threads."""

from __future__ import annotations

import struct
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.machine import resident
from rlstm_tf.serving.artifact import ModelMetadata

# Tolerance of logits: with many threads, they split the work of a batch differently.
_CLOSE = 1e-4


class Request(NamedTuple):
    """A request and its expected logits; None = an error is expected."""

    signature: str
    inputs: dict[str, Any]
    logits: np.ndarray | None


class Load(NamedTuple):
    """Results of a load test.

    Attributes:
        good, bad: number of requests.
        failed: good requests with an error.
        wrong: good requests with logits that differ from those of the request alone.
        accepted: bad requests without an error.
        seconds: latency of each good request.
        megabytes: memory of the process at the start, at the end, and at the peak.
        duration: seconds in all.
    """

    good: int
    bad: int
    failed: int
    wrong: int
    accepted: int
    seconds: list[float]
    megabytes: tuple[float, float, float]
    duration: float


def frames_of(
    metadata: ModelMetadata, videos: int, seed: int, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Makes smooth frames: uint8 [videos, T, H, W, C]; `size` is (H, W), None = the network's."""
    T, S, _, C = metadata.input_config().video_shape
    height, width = size or (S, S)
    coarse = np.random.default_rng(seed).integers(0, 256, (videos * T, 6, 6, C), np.uint8)
    images = [cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in coarse]
    return np.stack(images).reshape(videos, T, height, width, C)


def jpegs_of(frames: np.ndarray) -> np.ndarray:
    """Encodes frames of the spatial stream: JPEG files [videos, T]."""
    files = [
        cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
        for image in frames.reshape(-1, *frames.shape[2:])
    ]
    return np.array(files, object).reshape(frames.shape[:2])


def good_requests(
    signatures: Any,
    metadata: ModelMetadata,
    videos: tuple[int, ...],
    size: tuple[int, int] | None = None,
) -> list[Request]:
    """Makes requests to both signatures of the spatial stream, with the logits of each alone.

    Args:
        signatures: signatures of the exported network.
        metadata: the network's metadata.
        videos: numbers of videos of the requests, in turn.
        size: (H, W) of the frames; None = the network's.
    """
    requests = []
    for seed in range(4):
        frames = frames_of(metadata, videos[seed % len(videos)], seed, size)
        for signature, inputs in (
            ("serving_default", {"frames": frames}),
            ("serve_jpeg", {"frames_bytes": jpegs_of(frames)}),
        ):
            logits = call(signatures, Request(signature, inputs, None))
            requests.append(Request(signature, inputs, logits))
    return requests


def bad_requests(metadata: ModelMetadata) -> list[Request]:
    """Makes one bad request of each kind."""
    frames = frames_of(metadata, 1, 0)
    files = jpegs_of(frames)
    first = files[0, 0]
    at = first.find(b"\xff\xc0")
    promising = first[: at + 5] + struct.pack(">HH", 30_000, 30_000) + first[at + 9 :]
    bad = [{"frames": value} for value in (frames[0], frames.astype(np.float32), frames[:, :-1])]
    bad += [{"frames": value} for value in (frames[..., :1], frames[:0], frames[:, :, :0])]
    for file in (b"", b"no picture", promising, first[: len(first) // 2]):
        one = files.copy()
        one[0, -1] = file
        bad.append({"frames_bytes": one})
    bad.append({"frames_bytes": files[:, :-1]})
    return [
        Request("serving_default" if "frames" in inputs else "serve_jpeg", inputs, None)
        for inputs in bad
    ]


def call(signatures: Any, request: Request) -> np.ndarray:
    """Returns the logits of a request; raises the errors of TensorFlow."""
    import tensorflow as tf

    inputs = {name: tf.constant(value) for name, value in request.inputs.items()}
    return signatures[request.signature](**inputs)["logits"].numpy()


def load(
    signatures: Any, good: list[Request], bad: list[Request], count: int, threads: int
) -> Load:
    """Sends `count` requests, a tenth of them bad, from several threads."""
    start, most = resident(), resident()

    def send(number: int) -> tuple[bool, str, float]:
        is_bad = number % 10 == 9
        pool, place = (bad, number // 10) if is_bad else (good, number)
        began = time.perf_counter()
        outcome = _outcome(signatures, pool[place % len(pool)])
        return is_bad, outcome, time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as executor:
        sent = [executor.submit(send, number) for number in range(count)]
        while wait(sent, timeout=0.02).not_done:
            most = max(most, resident())
    duration = time.perf_counter() - began
    outcomes = [future.result() for future in sent]
    of_good = [outcome for is_bad, outcome, _ in outcomes if not is_bad]
    of_bad = [outcome for is_bad, outcome, _ in outcomes if is_bad]
    return Load(
        good=len(of_good),
        bad=len(of_bad),
        failed=of_good.count("error"),
        wrong=of_good.count("wrong"),
        accepted=len(of_bad) - of_bad.count("error"),
        seconds=[seconds for is_bad, _, seconds in outcomes if not is_bad],
        megabytes=(start / 1e6, resident() / 1e6, most / 1e6),
        duration=duration,
    )


def _outcome(signatures: Any, request: Request) -> str:
    import tensorflow as tf

    try:
        found = call(signatures, request)
    except (tf.errors.OpError, ValueError, TypeError):
        return "error"
    expected = request.logits
    if expected is None or found.shape != expected.shape:
        return "wrong"
    return "right" if np.abs(found - expected).max() <= _CLOSE else "wrong"


def latencies(signatures: Any, metadata: ModelMetadata, size: int, count: int) -> dict[str, Any]:
    """Measures requests of `size` videos one by one; milliseconds by signature."""
    frames = frames_of(metadata, size, 0)
    files = {"frames_bytes": jpegs_of(frames)}
    found = {}
    for signature, inputs in (("serving_default", {"frames": frames}), ("serve_jpeg", files)):
        request, seconds = Request(signature, inputs, None), []
        for number in range(count + 3):
            began = time.perf_counter()
            call(signatures, request)
            if number >= 3:
                seconds.append(time.perf_counter() - began)
        found[signature] = percentiles(seconds)
    return found


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Returns the minimum, the median and the 99th percentile, milliseconds."""
    found = np.percentile(seconds, [0, 50, 99]) * 1e3
    return {f"p{share}_ms": round(float(x), 1) for share, x in zip((0, 50, 99), found)}
