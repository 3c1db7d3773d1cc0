"""Streams of random frames, whole and damaged."""

from __future__ import annotations

from io import BytesIO

import av
import numpy as np


def texture(frames, size, codec="mpeg2video", format_name="mpegts", rate=10):
    """Bytes of a video of random frames; `size` is (width, height)."""
    file, rng = BytesIO(), np.random.default_rng(0)
    pix_fmt = "rgb24" if codec == "png" else "yuv420p"
    with av.open(file, "w", format=format_name) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for _ in range(frames):
            image = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def damaged_packet(content, number):
    """The video with one of its PNGs, from 0, that does not decode."""
    at = -1
    for _ in range(number + 1):
        at = content.index(b"\x89PNG", at + 1)
    return content[:at] + b"none" + content[at + 4 :]
