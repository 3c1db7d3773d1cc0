"""Makes videos for the benchmarks: moving texture, with the bit rate of filmed clips."""

from __future__ import annotations

import os

import av
import cv2
import numpy as np

WIDTH, HEIGHT, FPS = 340, 256, 25
# Clips of HMDB-51 have 0.6 to 0.9 million bits a second.
BIT_RATE = 800_000


def write_clips(directory: str, num_clips: int, num_frames: int) -> None:
    """Writes H.264 clips as a folder of one class.

    The encoder's default gives one key frame per clip, as in the clips of HMDB-51 (MPEG-4).
    """
    os.makedirs(os.path.join(directory, "texture"))
    for number in range(num_clips):
        path = os.path.join(directory, "texture", f"clip_{number:03d}.mp4")
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.bit_rate = BIT_RATE
            for image in _scene(number, num_frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())


def _scene(seed: int, num_frames: int):
    """Yields frames of a camera that pans over a textured wall while an object passes."""
    rng = np.random.default_rng(seed)
    wall, thing = _texture(rng, 2 * HEIGHT, 2 * WIDTH), _texture(rng, HEIGHT // 2, WIDTH // 4)
    speed = rng.uniform(-1, 1, 2)
    for number in range(num_frames):
        x, y = (np.array([WIDTH, HEIGHT]) / 2 + speed * number).astype(int)
        image = wall[y : y + HEIGHT, x : x + WIDTH].copy()
        left = 3 * number % (WIDTH - thing.shape[1])
        image[60 : 60 + thing.shape[0], left : left + thing.shape[1]] = thing
        # Sensor noise.
        yield cv2.add(image, rng.integers(0, 12, image.shape, np.uint8))


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Returns noise of all scales, coarse ones strongest, as in photographs: uint8 [H, W, 3]."""
    total = np.zeros((height, width, 3), np.float32)
    for cells in (4, 8, 16, 32, 64, 128, 256):
        noise = rng.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.5
    return cv2.normalize(total, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
