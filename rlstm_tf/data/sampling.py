"""Which frames of a video are looked at: the segment sampling of Temporal Segment Networks.

A video of `num_frames` frames holds n = num_frames - new_length + 1 snippets of `new_length`
consecutive frames, named by their first frame, their start: 0 ... n - 1. Segment s of T covers the
starts floor(s * n / T) up to, not including, floor((s + 1) * n / T). With n < T some segments are
empty; a start is then taken twice, so that there are always T and they never go backwards.

A video shorter than one snippet (num_frames < new_length) has the one start 0, and the frames that
the snippet lacks repeat the last frame: see `snippet_frames`.

Segments and groups are integer arithmetic: the same numbers on every machine.

Source: Wang et al., "Temporal Segment Networks", ECCV 2016; arXiv 1811.07059, sections 3 and 4.
"""

from __future__ import annotations

import numpy as np


def num_starts(num_frames: int, new_length: int = 1) -> int:
    """Number n of possible snippet starts, at least 1.

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
    """Training: one snippet from each segment, every start in the segment equally likely.

    An empty segment s gives the start floor(s * n / T).

    Args:
        num_frames: frames in the video.
        num_segments: T.
        rng: where the draws come from.
        new_length: consecutive frames of a snippet.

    Returns:
        int64 [T], rising or level.

    Raises:
        ValueError: a number is less than 1.
    """
    starts = num_starts(num_frames, new_length)
    if num_segments < 1:
        raise ValueError(f"num_segments must be at least 1. Received: num_segments={num_segments}")
    edges = [segment * starts // num_segments for segment in range(num_segments + 1)]
    # Plain integers: for eight of them half the time of arrays. A draw is less than 1 by at least
    # 2**-53, so that draw * size rounds to less than size.
    draws = rng.random(num_segments).tolist()
    return np.array(
        [low + int(draw * (high - low)) for draw, low, high in zip(draws, edges, edges[1:])],
        np.int64,
    )


def group_snippets(
    num_frames: int, num_segments: int, num_groups: int = 1, new_length: int = 1
) -> np.ndarray:
    """Validation and testing: G groups, each with one snippet from the same place in every segment.

    Group k takes the start floor((s + (k + 1/2) / G) * n / T) of segment s. One group is the middle
    of each segment (validation); the paper tests with four.

    Args:
        num_frames: frames in the video.
        num_segments: T.
        num_groups: G.
        new_length: consecutive frames of a snippet.

    Returns:
        int64 [G, T], each row rising or level.

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
    # The docstring's formula times 2G: exact, where a float would round 6.999... or 7.0 at will.
    return (2 * (segment * num_groups + group) + 1) * starts // (2 * num_groups * num_segments)


def clip_snippets(
    num_frames: int, num_segments: int, num_clips: int, clip_length: int, new_length: int = 1
) -> np.ndarray:
    """Testing long videos: K clips at equal spacing, one snippet from the middle of each segment.

    Of a video of n frames clip k begins at frame floor(k * (n - L) / (K - 1)): the first clip with
    the video, the last ends with it. A video of up to L frames is K times the same clip. The paper
    tests Charades with 10 clips of 256 frames.

    Args:
        num_frames: n, frames in the video.
        num_segments: T, of each clip.
        num_clips: K.
        clip_length: L, frames in a clip.
        new_length: consecutive frames of a snippet.

    Returns:
        int64 [K, T], each row rising or level.

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
    """Frame numbers of snippets; frames past the end of the video repeat its last one.

    Args:
        starts: integers [...].
        num_frames: frames in the video.
        new_length: consecutive frames of a snippet.

    Returns:
        int64 [..., new_length], from 0 to num_frames - 1.
    """
    frames = np.asarray(starts, np.int64)[..., None] + np.arange(new_length, dtype=np.int64)
    return np.minimum(frames, num_frames - 1)
