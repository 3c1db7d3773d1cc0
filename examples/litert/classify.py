"""Classifies a video file with a LiteRT file from rlstm_tf.export, without TensorFlow.

    pip install ai-edge-litert numpy av
    python examples/litert/classify.py --model=demo.tflite clip.mp4
    python examples/litert/classify.py --model=demo.tflite --stream clip.mp4

The first prints the classes of the whole video, the most probable first; the second the most
probable one after each frame of a stream: with --every, of one frame in so many seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from ai_edge_litert.interpreter import Interpreter

# Of the metadata that this program understands.
FORMAT = 1


class Classifier:
    """A network from a LiteRT file.

    Args:
        path: the file.
        num_threads: threads of the interpreter.

    Attributes:
        metadata: the JSON at the end of the file: class names and how frames are prepared.
        signatures: names of the signatures.

    Raises:
        ValueError: the file is not from rlstm_tf.export, of another version, or inconsistent.
        OSError: it cannot be read.
    """

    def __init__(self, path: str, num_threads: int = 1) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                self.metadata = json.loads(archive.read("model.json"))
        except (zipfile.BadZipFile, KeyError):
            raise ValueError(f"{path} is not a LiteRT file from rlstm_tf.export") from None
        if self.metadata.get("format") != FORMAT:
            raise ValueError(
                f"{path} has format {self.metadata.get('format')}; this program reads {FORMAT}"
            )
        self._interpreter = Interpreter(path, num_threads=num_threads)
        self.signatures = set(self._interpreter.get_signature_list())
        self._runners = {
            name: self._interpreter.get_signature_runner(name) for name in self.signatures
        }
        outputs = self._runners["serve_frames"].get_output_details()
        found, listed = outputs["logits"]["shape"][-1], len(self.metadata["classes"])
        if found != listed:
            raise ValueError(f"{path} lists {listed} classes and has scores for {found}")

    def prepare(self, frame: av.VideoFrame) -> np.ndarray:
        """Returns a frame of a video as the signatures take it, uint8 `[height, width, 3]`, RGB.

        It is resized to cover the size, and cropped to its center. A file for frames of the
        network's own size takes the center of what the network was trained on.
        """
        size = height, width = self.metadata["frame_height"], self.metadata["frame_width"]
        if (frame.height, frame.width) != size:
            factor = max(height / frame.height, width / frame.width)
            if size == (self.metadata["image_size"],) * 2:
                factor = self.metadata["short_side"] / min(frame.height, frame.width)
            shape = {
                "width": max(width, round(frame.width * factor)),
                "height": max(height, round(frame.height * factor)),
            }
            method = "AREA" if factor < 1 else "BILINEAR"
            frame = frame.reformat(**shape, format="rgb24", interpolation=method)
        pixels = frame.to_ndarray(format="rgb24")
        top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
        return pixels[top : top + height, left : left + width]

    def classify(self, path: str) -> np.ndarray:
        """Returns the probability of each class, float32 `[K]`, of a whole video.

        The network sees the middle frame of each of T equal parts, as in rlstm_tf.evaluate.
        """
        count = sum(1 for _ in decode(path))
        T = self.metadata["num_segments"]
        wanted = [min((2 * part + 1) * count // (2 * T), count - 1) for part in range(T)]
        seen = {
            number: self.prepare(frame)
            for number, frame in enumerate(decode(path))
            if number in wanted
        }
        frames = np.stack([seen[number] for number in wanted])
        return self._runners["serve_frames"](frames=frames[None])["probabilities"][0]

    def classify_stream(
        self, path: str, every: float, decay: float = 1.0
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Classifies a stream after each frame that it takes.

        Args:
            path: the video.
            every: seconds from one frame that is taken to the next; 0 = all frames.
            decay: what a step keeps of the past, 0..1.

        Yields:
            Time in seconds, and the probability of each class, float32 `[K]`.

        Raises:
            ValueError: the network has no signatures for streams.
        """
        if "step" not in self.signatures:
            raise ValueError("the network has no signatures for streams: export it with --window")
        answer: dict[str, Any] = self._runners["init_state"](decay=np.float32([decay]))
        due = 0.0
        for frame in decode(path):
            time = frame.time or 0.0
            if time < due:
                continue
            due = max(due + every, time)
            state = {name: value for name, value in answer.items() if name.startswith("state_")}
            answer = self._runners["step"](frames=self.prepare(frame)[None], **state)
            yield time, answer["probabilities"][0]


def decode(path: str) -> Iterator[av.VideoFrame]:
    """Yields the frames of a video.

    Raises:
        ValueError: the file has none.
        av.FFmpegError: it is damaged.
    """
    is_empty = True
    with av.open(path) as container:
        if not container.streams.video:
            raise ValueError(f"{path} has no video stream")
        for frame in container.decode(video=0):
            is_empty = False
            yield frame
    if is_empty:
        raise ValueError(f"{path} has no frame")


def main(argv: list[str] | None = None) -> int:
    """Prints the classes of a video, or of a stream over time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="the LiteRT file")
    parser.add_argument("--stream", action="store_true", help="answer after each frame")
    parser.add_argument("--every", type=float, default=0.0, help="stream: seconds between frames")
    parser.add_argument("--decay", type=float, default=1.0, help="stream: what a step keeps, 0..1")
    parser.add_argument("--threads", type=int, default=1, help="threads of the interpreter")
    parser.add_argument("video", help="video file")
    arguments = parser.parse_args(argv)
    try:
        classifier = Classifier(arguments.model, arguments.threads)
        classes = classifier.metadata["classes"]
        if classifier.metadata["stream"] != "spatial":
            raise ValueError(f"{arguments.model} takes optical flow, which this example lacks")
        if arguments.stream:
            answers = classifier.classify_stream(arguments.video, arguments.every, arguments.decay)
            for time, probabilities in answers:
                best = int(probabilities.argmax())
                print(f"{time:8.2f} s  {probabilities[best]:.4f}  {classes[best]}", flush=True)
            return 0
        probabilities = classifier.classify(arguments.video)
    except (OSError, ValueError, RuntimeError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    for number in np.argsort(-probabilities, kind="stable")[:5]:
        print(f"{probabilities[number]:.4f}  {classes[number]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
