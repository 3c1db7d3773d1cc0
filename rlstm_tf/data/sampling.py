"""Samples the frames of a video by segments, as in Temporal Segment Networks.

A video of `num_frames` frames has n = num_frames - new_length + 1 snippets of `new_length`
consecutive frames, identified by their first frame, the start: 0 ... n - 1. Segment s of T covers
the starts floor(s * n / T) up to, not including, floor((s + 1) * n / T). If n < T, some segments
are empty and starts repeat, so that there are always T starts, in ascending order.

A video shorter than a snippet (num_frames < new_length) has the single start 0, and its last frame
is repeated (`snippet_frames`).

All numbers are computed in integers, and so are equal on every machine.

Source: Wang et al., "Temporal Segment Networks", ECCV 2016; arXiv 1811.07059, sections 3 and 4.
"""

from __future__ import annotations

import numpy as np


def num_starts(num_frames: int, new_length: int = 1) -> int:
    """Returns the number n of snippet starts, at least 1.

    Raises:
        ValueError: a length is less than 1.
    """
    if num_frames < 1 or new_length < 1:
        raise ValueError(
            "num_frames and new_length must be at least 1. "
            f"Received: num_frames={num_frames}, new_length={new_length}"
        )
    return max(num_frames - new_length + 1, 1)


def random_snippets(
    num_frames: int, num_segments: int, rng: np.random.Generator, new_length: int = 1
) -> np.ndarray:
    """Draws one snippet from each segment, for training; each start is equally likely.

    An empty segment s gives the start floor(s * n / T).

    Args:
        num_frames: frames in the video.
        num_segments: T.
        rng: random number generator.
        new_length: consecutive frames per snippet.

    Returns:
        Starts, int64 [T], ascending.

    Raises:
        ValueError: a number is less than 1.
    """
    starts = num_starts(num_frames, new_length)
    if num_segments < 1:
        raise ValueError(f"num_segments must be at least 1. Received: num_segments={num_segments}")
    edges = [segment * starts // num_segments for segment in range(num_segments + 1)]
    # For eight segments, Python numbers take half the time of arrays. A draw is at most 1 - 2**-53,
    # so draw * size rounds to less than size.
    draws = rng.random(num_segments).tolist()
    return np.array(
        [low + int(draw * (high - low)) for draw, low, high in zip(draws, edges, edges[1:])],
        np.int64,
    )


def group_snippets(
    num_frames: int, num_segments: int, num_groups: int = 1, new_length: int = 1
) -> np.ndarray:
    """Returns G groups of equally spaced snippets, for validation and testing.

    Group k has the start floor((s + (k + 1/2) / G) * n / T) in segment s. A single group is the
    middle of each segment (validation); the paper tests with four.

    Args:
        num_frames: frames in the video.
        num_segments: T.
        num_groups: G.
        new_length: consecutive frames per snippet.

    Returns:
        Starts, int64 [G, T], ascending in each row.

    Raises:
        ValueError: a number is less than 1.
    """
    if num_segments < 1 or num_groups < 1:
        raise ValueError(
            "num_segments and num_groups must be at least 1. "
            f"Received: num_segments={num_segments}, num_groups={num_groups}"
        )
    starts = num_starts(num_frames, new_length)
    group = np.arange(num_groups, dtype=np.int64)[:, None]
    segment = np.arange(num_segments, dtype=np.int64)
    # The docstring's formula times 2G, in integers: floats could round 7.0 to 6.999...
    return (2 * (segment * num_groups + group) + 1) * starts // (2 * num_groups * num_segments)


def clip_snippets(
    num_frames: int, num_segments: int, num_clips: int, clip_length: int, new_length: int = 1
) -> np.ndarray:
    """Returns the middle snippet of each segment of K equally spaced clips, to test long videos.

    Clip k of a video of n frames starts at frame floor(k * (n - L) / (K - 1)), so that the last
    clip ends with the video. A video of up to L frames gives the same clip K times. The paper tests
    Charades with 10 clips of 256 frames.

    Args:
        num_frames: n, frames in the video.
        num_segments: T, segments per clip.
        num_clips: K.
        clip_length: L, frames per clip.
        new_length: consecutive frames per snippet.

    Returns:
        Starts, int64 [K, T], ascending in each row.

    Raises:
        ValueError: a number is less than 1.
    """
    if num_clips < 1 or clip_length < 1:
        raise ValueError(
            "num_clips and clip_length must be at least 1. "
            f"Received: num_clips={num_clips}, clip_length={clip_length}"
        )
    length = min(num_frames, clip_length)
    clip = np.arange(num_clips, dtype=np.int64)[:, None]
    first = clip * (num_frames - length) // max(num_clips - 1, 1)
    return first + group_snippets(length, num_segments, 1, new_length)


def snippet_frames(starts: np.ndarray, num_frames: int, new_length: int = 1) -> np.ndarray:
    """Returns the frame numbers of snippets; the last frame repeats past the end of the video.

    Args:
        starts: first frame of each snippet, integers [...].
        num_frames: frames in the video.
        new_length: consecutive frames per snippet.

    Returns:
        int64 [..., new_length], from 0 to num_frames - 1.
    """
    frames = np.asarray(starts, np.int64)[..., None] + np.arange(new_length, dtype=np.int64)
    return np.minimum(frames, num_frames - 1)
