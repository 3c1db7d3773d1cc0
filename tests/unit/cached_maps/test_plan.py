"""Which maps are cached, and where each of them lies."""

import numpy as np
import pytest
from small_shards import write_shards

from rlstm_tf.cached_maps import plan as plans
from rlstm_tf.cached_maps.plan import CacheConfig, Plan, view_boxes
from rlstm_tf.data.input_config import InputConfig
from rlstm_tf.data.shards import Shards
from rlstm_tf.errors import UsageError

LENGTHS = [7, 1, 20, 3, 12]
ALL = ("center", "corners", "mirrored", "scales")


def config_of(**more):
    options = {"image_size": 32, "num_segments": 4, "crop_scales": (1.0, 0.75), **more}
    return InputConfig(batch_size=2, **options)


@pytest.fixture
def shards(tmp_path):
    write_shards(tmp_path / "data", LENGTHS)
    return Shards.open(str(tmp_path / "data"), "train")


def plan_of(shards, views=("center",), frames=8, **more):
    return Plan(shards, config_of(**more), CacheConfig("auto", views, frames), (2, 2, 3))


def test_crops_of_each_view():
    """By hand, of 40 x 48 pixels; in one order, whatever that of the names."""
    center = [(8, 4, 32, 32)]
    corners = [(0, 0, 32, 32), (16, 0, 32, 32), (0, 8, 32, 32), (16, 8, 32, 32)]
    scales = [(4, 0, 40, 40), (9, 5, 30, 30)]
    config = config_of()
    assert view_boxes(40, 48, config, ("center",)) == center
    assert view_boxes(40, 48, config, ("mirrored", "corners")) == corners
    assert view_boxes(40, 48, config, ("scales", "corners", "center")) == center + corners + scales


@pytest.mark.parametrize("views", [(), ("mirrored",), ("center", "above")])
def test_views_that_are_refused(views):
    with pytest.raises(UsageError, match="--cache_views="):
        CacheConfig("auto", views)


def test_each_map_has_its_place(shards, monkeypatch):
    """The rows of all views and snippets of all videos fill the files, each row once."""
    monkeypatch.setattr(plans, "_FILE_BYTES", 250 * 24)
    plan = plan_of(shards, ALL)
    counts = [min(n, 8) for n in shards.num_frames]
    assert plan.counts.tolist() == counts
    assert plan.num_bytes == sum(counts) * 2 * 7 * 24
    # 14 views: at most 17 snippets a file.
    assert len(plan.rows) == 2
    places = []
    for video, count in enumerate(counts):
        for flip in (False, True):
            for box in range(7):
                starts = plan.frames(video)[:, 0]
                rows = plan.rows_of(video, flip, box, starts)
                assert rows.tolist() == list(range(rows[0], rows[0] + count))
                places += [(int(plan.file_of_video[video]), row) for row in rows.tolist()]
    expected = [(file, row) for file, rows in enumerate(plan.rows.tolist()) for row in range(rows)]
    assert sorted(places) == expected
    assert plan.videos_of(0) + plan.videos_of(1) == list(range(len(LENGTHS)))


def test_every_snippet_of_a_short_video_is_cached(shards):
    plan = plan_of(shards, frames=8)
    short = shards.ids.index("v0")
    assert plan.frames(short).ravel().tolist() == list(range(7))
    assert np.ptp(plan.rows_of(short, False, 0, np.arange(7)) - np.arange(7)) == 0


def test_a_snippet_of_a_long_video_stands_for_its_neighbors(shards):
    plan, video = plan_of(shards, frames=8), shards.ids.index("v2")
    # 20 frames in 8 parts of two and three; the middle of each.
    assert plan.frames(video).ravel().tolist() == [0, 3, 5, 8, 10, 13, 15, 18]
    parts = plan.rows_of(video, False, 0, np.arange(20)) - int(plan.first_row[video])
    assert parts.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5, 6, 6, 7, 7, 7]


def test_cached_snippets_stand_for_themselves(tmp_path):
    lengths = list(range(1, 30))
    write_shards(tmp_path / "data", lengths)
    plan = plan_of(Shards.open(str(tmp_path / "data"), "train"))
    for video, count in enumerate(plan.counts.tolist()):
        starts = plan.frames(video)[:, 0]
        numbers = plan.rows_of(video, False, 0, starts) - int(plan.first_row[video])
        assert numbers.tolist() == list(range(count))


def test_flow(tmp_path):
    """Snippets of four fields; of a video of three, the last is repeated."""
    write_shards(tmp_path / "data", [3, 9], stream="temporal")
    shards = Shards.open(str(tmp_path / "data"), "train")
    plan = plan_of(shards, stream="temporal", new_length=4)
    assert plan.counts.tolist() == [1, 6]
    assert plan.frames(0).tolist() == [[0, 1, 2, 2]]
    assert plan.frames(1)[-1].tolist() == [5, 6, 7, 8]
    # An interval at the end, shorter than a snippet, starts after the last one.
    assert plan.rows_of(1, False, 0, np.array([8])) == plan.rows_of(1, False, 0, np.array([5]))


def test_mirrored_maps_that_nobody_would_draw(shards):
    assert plan_of(shards, ("center", "mirrored")).flips == (False, True)
    assert plan_of(shards, ("center", "mirrored"), flip=False).flips == (False,)
    assert plan_of(shards, ("center",)).flips == (False,)
