from fractions import Fraction
from math import floor

import numpy as np
import pytest

from rlstm_tf.data import sampling

LENGTHS = [1, 7, 8, 9, 81, 10_000]
SEGMENTS = [6, 8, 12]
SNIPPETS = [1, 10]

# Middle of each segment, computed by hand: floor((s + 1/2) * n / T).
MIDDLES = {
    (1, 8, 1): [0, 0, 0, 0, 0, 0, 0, 0],
    (7, 8, 1): [0, 1, 2, 3, 3, 4, 5, 6],
    (8, 8, 1): [0, 1, 2, 3, 4, 5, 6, 7],
    (9, 8, 1): [0, 1, 2, 3, 5, 6, 7, 8],
    (81, 8, 1): [5, 15, 25, 35, 45, 55, 65, 75],
    (10_000, 8, 1): [625, 1875, 3125, 4375, 5625, 6875, 8125, 9375],
    (81, 6, 1): [6, 20, 33, 47, 60, 74],
    (81, 12, 1): [3, 10, 16, 23, 30, 37, 43, 50, 57, 64, 70, 77],
    (7, 12, 1): [0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 6, 6],
    # 72, 9,991 and 1 starts.
    (81, 8, 10): [4, 13, 22, 31, 40, 49, 58, 67],
    (10_000, 8, 10): [624, 1873, 3122, 4371, 5619, 6868, 8117, 9366],
    (9, 8, 10): [0, 0, 0, 0, 0, 0, 0, 0],
}


@pytest.mark.parametrize("case", MIDDLES, ids=str)
def test_single_group_is_the_middle_of_each_segment(case):
    num_frames, num_segments, new_length = case
    starts = sampling.group_snippets(num_frames, num_segments, new_length=new_length)
    assert starts.dtype == np.int64
    assert starts.tolist() == [MIDDLES[case]]


def test_four_groups():
    # 80 starts in 8 segments of 10: the groups are at 1.25, 3.75, 6.25 and 8.75 in each.
    starts = sampling.group_snippets(80, 8, num_groups=4)
    tens = np.arange(0, 80, 10)
    assert starts.tolist() == [(tens + first).tolist() for first in (1, 3, 6, 8)]
    # 7 frames for 32 snippets.
    assert sampling.group_snippets(7, 8, num_groups=4).tolist() == [
        [0, 0, 1, 2, 3, 4, 5, 6],
        [0, 1, 2, 2, 3, 4, 5, 6],
        [0, 1, 2, 3, 4, 4, 5, 6],
        [0, 1, 2, 3, 4, 5, 6, 6],
    ]


@pytest.mark.parametrize("new_length", SNIPPETS)
@pytest.mark.parametrize("num_segments", SEGMENTS)
@pytest.mark.parametrize("num_frames", LENGTHS)
def test_groups_equal_the_exact_formula(num_frames, num_segments, new_length):
    n = max(num_frames - new_length + 1, 1)
    for groups in (1, 2, 4, 5):
        expected = [
            [
                floor((s + (k + Fraction(1, 2)) / groups) * n / num_segments)
                for s in range(num_segments)
            ]
            for k in range(groups)
        ]
        found = sampling.group_snippets(num_frames, num_segments, groups, new_length)
        assert found.tolist() == expected
        assert 0 <= found.min() <= found.max() < n


@pytest.mark.parametrize("new_length", SNIPPETS)
@pytest.mark.parametrize("num_segments", SEGMENTS)
@pytest.mark.parametrize("num_frames", LENGTHS)
def test_random_starts_cover_their_segment(num_frames, num_segments, new_length):
    n = max(num_frames - new_length + 1, 1)
    rng = np.random.default_rng(0)
    draws = np.stack(
        [sampling.random_snippets(num_frames, num_segments, rng, new_length) for _ in range(400)]
    )
    assert draws.dtype == np.int64
    assert draws.shape == (400, num_segments)
    for s in range(num_segments):
        low, high = s * n // num_segments, (s + 1) * n // num_segments
        allowed = set(range(low, max(high, low + 1)))
        drawn = set(draws[:, s].tolist())
        assert drawn <= allowed
        if len(allowed) <= 20:
            assert drawn == allowed
    assert (np.diff(draws, axis=1) >= 0).all()


# Ten clips of 256 frames, eight segments: the first starts of some clips, computed by hand:
# floor(k (n - 256) / 9) + floor((s + 1/2) * 32). Shorter videos give the same clip ten times.
CLIPS = {
    10_000: {0: [16, 48, 80], 1: [1098, 1130, 1162], 9: [9760, 9792, 9824]},
    600: {0: [16, 48, 80], 1: [54, 86, 118], 9: [360, 392, 424]},
    256: {0: [16, 48, 80], 9: [16, 48, 80]},
    81: {0: [5, 15, 25], 5: [5, 15, 25], 9: [5, 15, 25]},
    9: {3: [0, 1, 2]},
    8: {3: [0, 1, 2]},
    7: {3: [0, 1, 2]},
    1: {0: [0, 0, 0], 9: [0, 0, 0]},
}


@pytest.mark.parametrize("num_frames", CLIPS)
def test_clips(num_frames):
    starts = sampling.clip_snippets(num_frames, 8, 10, 256)
    assert starts.shape == (10, 8)
    assert starts.dtype == np.int64
    for clip, first in CLIPS[num_frames].items():
        assert starts[clip, :3].tolist() == first
    assert 0 <= starts.min() <= starts.max() < num_frames


def test_clips_of_flow_and_single_clip():
    # 256 fields have 247 snippets of 10; a segment is 30.875 starts long.
    assert sampling.clip_snippets(300, 8, 2, 256, new_length=10).tolist() == [
        [15, 46, 77, 108, 138, 169, 200, 231],
        [59, 90, 121, 152, 182, 213, 244, 275],
    ]
    assert sampling.clip_snippets(300, 2, 1, 256).tolist() == [[64, 192]]


def test_random_starts_of_short_videos():
    rng = np.random.default_rng(0)
    # 7 starts in 8 segments: the first segment is empty, the others have one start.
    assert sampling.random_snippets(7, 8, rng).tolist() == [0, 0, 1, 2, 3, 4, 5, 6]
    assert sampling.random_snippets(1, 6, rng).tolist() == [0] * 6
    assert sampling.random_snippets(8, 8, rng).tolist() == list(range(8))
    # 12 frames have three snippets of 10.
    assert sampling.random_snippets(12, 6, rng, new_length=10).tolist() == [0, 0, 1, 1, 2, 2]
    assert sampling.random_snippets(9, 6, rng, new_length=10).tolist() == [0] * 6


def test_every_start_of_a_segment_is_equally_likely():
    rng = np.random.default_rng(1)
    draws = np.stack([sampling.random_snippets(40, 4, rng) for _ in range(4000)])
    counts = np.bincount(draws.ravel(), minlength=40)
    # 400 expected each, standard deviation 19.
    assert counts.min() > 300
    assert counts.max() < 500


def test_snippet_frames_are_consecutive_and_repeat_the_last():
    frames = sampling.snippet_frames(np.array([0, 5]), 20, new_length=4)
    assert frames.tolist() == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert sampling.snippet_frames(np.array([0, 0]), 3, new_length=5).tolist() == [
        [0, 1, 2, 2, 2],
        [0, 1, 2, 2, 2],
    ]
    assert sampling.snippet_frames(np.zeros((2, 3), int), 1).shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: sampling.group_snippets(0, 8), "num_frames=0"),
        (lambda: sampling.group_snippets(10, 0), "num_segments=0"),
        (lambda: sampling.group_snippets(10, 8, 0), "num_groups=0"),
        (lambda: sampling.clip_snippets(10, 8, 0, 256), "num_clips=0"),
        (lambda: sampling.clip_snippets(10, 8, 10, 0), "clip_length=0"),
        (lambda: sampling.random_snippets(10, 0, np.random.default_rng(0)), "num_segments=0"),
        (lambda: sampling.random_snippets(10, 8, np.random.default_rng(0), 0), "new_length=0"),
    ],
)
def test_numbers_below_one_are_refused(call, received):
    with pytest.raises(ValueError, match=received):
        call()
