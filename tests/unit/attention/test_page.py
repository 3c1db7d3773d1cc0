"""The page and the animation, from random attention maps."""

import io
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from explanations import HOSTILE, SOURCE, clip, data_of, random_attention, weights_of
from PIL import Image

from rlstm_tf.attention import animation, heat, page
from rlstm_tf.attention.clip import make_clip, render_flow
from rlstm_tf.data.flow import BOUND, ZERO
from rlstm_tf.data.video_views import VideoViews
from rlstm_tf.errors import DataError


class Page(HTMLParser):
    """Collects the elements of a page as (tag, attributes), and its visible text."""

    def __init__(self, content):
        super().__init__()
        self.elements, self.inside, self.text = [], "", ""
        self.feed(content.decode())

    def handle_starttag(self, tag, attrs):
        self.inside = tag
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.inside not in ("style", "script"):
            self.text += data


@pytest.mark.parametrize("are_shares", [True, False], ids=["shares", "signed"])
def test_page_contains_the_weights(are_shares):
    relations = random_attention(are_shares=are_shares)
    content = page.render(clip(), relations, (2, 7), SOURCE)
    for kind in ("spatial", "temporal"):
        expected = getattr(relations, kind)
        error = np.abs(weights_of(content, kind) - expected).max(axis=-1)
        assert (error <= 0.51 / page.MAX_LEVEL * np.abs(expected).max(axis=-1)).all()
    data = data_of(content)
    assert (data["frame"], data["cell"]) == (2, 7)
    assert (data["rows"], data["columns"]) == (3, 5)
    assert data["shares"] == are_shares


def test_quantize_zeros():
    """The concatenation can give zeros only."""
    levels, scales = page.quantize(np.zeros((2, 3), np.float32))
    assert not levels.any()
    assert not scales.any()


def test_page_is_self_contained():
    content = page.render(clip(), random_attention(), (0, 0), SOURCE)
    assert b"http:" not in content
    assert b"https:" not in content
    assert b"url(" not in content
    found = Page(content)
    assert not {"link", "iframe", "object", "form", "base"} & {tag for tag, _ in found.elements}
    sources = [value for _, attributes in found.elements for value in (attributes.get("src"),)]
    assert sum(value is not None for value in sources) == 4
    assert all(value is None or value.startswith("data:image/jpeg;base64,") for value in sources)
    for _, attributes in found.elements:
        assert not any(name.startswith("on") or name == "href" for name in attributes)
    (policy,) = [a["content"] for _, a in found.elements if "http-equiv" in a]
    assert policy.split()[:2] == ["default-src", "'none';"]
    assert "script-src 'sha256-" in policy


def test_external_text_is_escaped():
    source = page.Source(*[HOSTILE] * 4)
    shown = clip(classes=[(HOSTILE, 0.5), ("</script>", 0.25)])
    shown = shown._replace(times=[HOSTILE] * 4)
    content = page.render(shown, random_attention(), (0, 0), source)
    found = Page(content)
    assert [tag for tag, _ in found.elements].count("script") == 2
    assert [tag for tag, _ in found.elements].count("img") == 4
    assert found.text.count(HOSTILE) == 2 + 1 + 4 + 3
    assert page.render(shown, random_attention(), (0, 0), source) == content


def test_names_with_invalid_utf_8():
    source = SOURCE._replace(title="a\udcff.mp4")
    shown = clip(classes=[("\ud800", 1.0)])
    assert b"<bdi>a?.mp4</bdi>" in page.render(shown, random_attention(), (0, 0), source)


def test_page_size_is_limited():
    page.check_size(8, (14, 14))
    with pytest.raises(DataError, match="8 maps of 28x28 positions have 39,337,984 weights"):
        page.check_size(8, (28, 28))


@pytest.mark.parametrize(
    ("count", "across"), [(1, 1), (2, 2), (3, 3), (6, 3), (7, 4), (8, 4), (10, 5), (12, 4)]
)
def test_number_of_columns(count, across):
    content = page.render(clip(count), random_attention(count), (0, 0), SOURCE)
    assert f"--across: {across};".encode() in content


def test_overlay():
    picture = np.full((6, 10, 3), 100, np.uint8)
    weights = np.array([[0.0, 0.4], [-0.4, 0.2]])
    drawn = heat.overlay(picture, weights, 0.4, heat.SPATIAL)
    np.testing.assert_array_equal(drawn[:3, :5], np.full((3, 5, 3), 30))
    full = 100 + heat.TINT * (np.array(heat.SPATIAL) - 100)
    np.testing.assert_allclose(drawn[:3, 5:], np.broadcast_to(full, (3, 5, 3)), atol=0.5)
    full = 100 + heat.TINT * (np.array(heat.NEGATIVE) - 100)
    np.testing.assert_allclose(drawn[3:, :5], np.broadcast_to(full, (3, 5, 3)), atol=0.5)
    assert 30 < drawn[3:, 5:, 0].min() == drawn[3:, 5:, 0].max() < drawn[0, 5, 0]


def test_uniform_attention_is_dim():
    assert heat.top_of_scale(np.full(50, 1 / 50), are_shares=True) == 4 / 50
    assert heat.top_of_scale(np.array([0.7, 0.2, 0.1]), are_shares=True) == 4 / 3
    assert heat.top_of_scale(np.array([0.7, *np.full(30, 0.01)]), are_shares=True) == 0.7
    assert heat.top_of_scale(np.array([-3.0, 1.0]), are_shares=False) == 3.0
    assert heat.top_of_scale(np.zeros(4), are_shares=False) == 1.0


def test_animation():
    relations, shown = random_attention(), clip()
    image = Image.open(io.BytesIO(animation.render(shown, relations, 7)))
    assert image.n_frames == 4
    assert image.info["loop"] == 0
    frames = []
    for number in range(4):
        image.seek(number)
        assert image.info["duration"] == 900
        frames.append(np.asarray(image.convert("RGB")).astype(int))
    left, right = frames[0][60:300, 12:300], frames[0][30:318, 312:600]
    assert left.std(axis=(0, 1)).max() < 1  # no past
    w = relations.spatial[0, :, 7].mean(axis=0)
    large = cv2.resize(shown.pictures[0], (288, 288), interpolation=cv2.INTER_LINEAR)
    top = heat.top_of_scale(w, are_shares=True)
    expected = heat.overlay(large, w.reshape(3, 5), top, heat.SPATIAL).astype(int)
    # The palette and the outline of the cell differ.
    assert np.abs(right - expected).mean() < 6
    assert np.abs(frames[1] - frames[0]).mean() > 5


def test_make_clip():
    frames = np.zeros((1, 2, 4, 4, 3), np.uint8)
    views = VideoViews(frames, np.array([[3, 50]]), np.array([[0.12, 2.0]]))
    odds = [0.08, 0.4, 0.3, 0.02, 0.15, 0.05]
    logits, names = np.log(np.array(odds, np.float32)), ["a", "b", "c", "d", "e", "f"]
    found = make_clip(views, False, logits, names)
    assert found.times == ["0.12 s, video frame 3", "2.00 s, video frame 50"]
    assert [name for name, _ in found.classes] == ["b", "c", "e", "a", "f"]
    shown = [share for _, share in found.classes]
    np.testing.assert_allclose(shown, [0.4, 0.3, 0.15, 0.08, 0.05], rtol=1e-5)
    np.testing.assert_array_equal(found.pictures, frames[0])
    flow_frames = np.full((1, 2, 4, 4, 6), ZERO, np.uint8)
    flow = views._replace(frames=flow_frames, times=np.full((1, 2), np.nan))
    found = make_clip(flow, True, logits, names)
    assert found.times == ["flow from frame 3", "flow from frame 50"]
    assert (found.pictures == 255).all()  # no motion
    assert found.is_flow


def test_flow_is_gray_under_a_heat_map():
    shown = clip()
    pictures = np.full_like(shown.pictures, (0, 255, 0))
    shown = shown._replace(pictures=pictures, is_flow=True)
    image = Image.open(io.BytesIO(animation.render(shown, random_attention(), 7)))
    right = np.asarray(image.convert("RGB"))[30:318, 312:600].astype(int)
    # Green became gray; amber has more red than green.
    assert (right[..., 0] + 3 >= right[..., 1]).all()
    assert b'class="strip small flow"' in page.render(shown, random_attention(), (0, 0), SOURCE)


def test_render_flow():
    """Right is red, left is cyan, half the motion is half as saturated; two fields per snippet."""
    level = 127 / BOUND
    frames = np.full((3, 8, 8, 4), ZERO, np.uint8)
    frames[0, ..., ::2] += int(10 * level)
    frames[1, ..., ::2] -= int(10 * level)
    frames[2, ..., 0] += int(10 * level)  # no motion in the other field
    pictures = render_flow(frames)
    np.testing.assert_array_equal(pictures[0, 0, 0], [255, 0, 0])
    np.testing.assert_array_equal(pictures[1, 0, 0], [0, 255, 255])
    np.testing.assert_allclose(pictures[2, 0, 0], [255, 128, 128], atol=3)
