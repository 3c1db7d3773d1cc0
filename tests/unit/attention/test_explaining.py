"""The page and the animation, from relations that the tests make up."""

import io
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from explanations import HOSTILE, SOURCE, clip, data_of, relations_of, weights_of
from PIL import Image

from rlstm_tf.attention import animation, heat, page
from rlstm_tf.attention.clip import clip_of, flow_pictures
from rlstm_tf.data.flow import BOUND, ZERO
from rlstm_tf.data.video_views import VideoViews
from rlstm_tf.errors import DataError


class Page(HTMLParser):
    """Elements of a page as (tag, attributes), and the text outside of style and scripts."""

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
def test_the_weights_in_the_page(are_shares):
    relations = relations_of(are_shares=are_shares)
    content = page.render(clip(), relations, (2, 7), SOURCE)
    for kind in ("spatial", "temporal"):
        expected = getattr(relations, kind)
        error = np.abs(weights_of(content, kind) - expected).max(axis=-1)
        assert (error <= 0.51 / page.LEVELS * np.abs(expected).max(axis=-1)).all()
    data = data_of(content)
    assert (data["frame"], data["cell"]) == (2, 7)
    assert (data["rows"], data["columns"]) == (3, 5)
    assert data["shares"] == are_shares


def test_weights_that_are_all_zero_stay_zero():
    """The concatenation's can be."""
    levels, scales = page.quantised(np.zeros((2, 3), np.float32))
    assert not levels.any()
    assert not scales.any()


def test_the_page_stands_alone():
    content = page.render(clip(), relations_of(), (0, 0), SOURCE)
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


def test_text_from_elsewhere_is_escaped():
    source = page.Source(*[HOSTILE] * 4)
    shown = clip(classes=[(HOSTILE, 0.5), ("</script>", 0.25)])
    shown = shown._replace(times=[HOSTILE] * 4)
    content = page.render(shown, relations_of(), (0, 0), source)
    found = Page(content)
    assert [tag for tag, _ in found.elements].count("script") == 2
    assert [tag for tag, _ in found.elements].count("img") == 4
    assert found.text.count(HOSTILE) == 2 + 1 + 4 + 3
    assert page.render(shown, relations_of(), (0, 0), source) == content


def test_names_that_are_no_utf_8():
    source = SOURCE._replace(title="a\udcff.mp4")
    shown = clip(classes=[("\ud800", 1.0)])
    assert b"<bdi>a?.mp4</bdi>" in page.render(shown, relations_of(), (0, 0), source)


def test_a_page_has_an_end():
    page.check_size(8, (14, 14))
    with pytest.raises(DataError, match="8 maps of 28x28 positions have 39,337,984 weights"):
        page.check_size(8, (28, 28))


@pytest.mark.parametrize(
    ("count", "across"), [(1, 1), (2, 2), (3, 3), (6, 3), (7, 4), (8, 4), (10, 5), (12, 4)]
)
def test_pictures_side_by_side(count, across):
    content = page.render(clip(count), relations_of(count), (0, 0), SOURCE)
    assert f"--across: {across};".encode() in content


def test_what_is_lit():
    picture = np.full((6, 10, 3), 100, np.uint8)
    weights = np.array([[0.0, 0.4], [-0.4, 0.2]])
    lit = heat.lit(picture, weights, 0.4, heat.SPATIAL)
    np.testing.assert_array_equal(lit[:3, :5], np.full((3, 5, 3), 30))
    full = 100 + heat.TINT * (np.array(heat.SPATIAL) - 100)
    np.testing.assert_allclose(lit[:3, 5:], np.broadcast_to(full, (3, 5, 3)), atol=0.5)
    full = 100 + heat.TINT * (np.array(heat.NEGATIVE) - 100)
    np.testing.assert_allclose(lit[3:, :5], np.broadcast_to(full, (3, 5, 3)), atol=0.5)
    assert 30 < lit[3:, 5:, 0].min() == lit[3:, 5:, 0].max() < lit[0, 5, 0]


def test_an_even_spread_is_not_bright():
    assert heat.top_of_scale(np.full(50, 1 / 50), are_shares=True) == 4 / 50
    assert heat.top_of_scale(np.array([0.7, 0.2, 0.1]), are_shares=True) == 4 / 3
    assert heat.top_of_scale(np.array([0.7, *np.full(30, 0.01)]), are_shares=True) == 0.7
    assert heat.top_of_scale(np.array([-3.0, 1.0]), are_shares=False) == 3.0
    assert heat.top_of_scale(np.zeros(4), are_shares=False) == 1.0


def test_the_animation():
    relations, shown = relations_of(), clip()
    image = Image.open(io.BytesIO(animation.animation(shown, relations, 7)))
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
    expected = heat.lit(large, w.reshape(3, 5), top, heat.SPATIAL).astype(int)
    # But for the palette and the outline of the cell.
    assert np.abs(right - expected).mean() < 6
    assert np.abs(frames[1] - frames[0]).mean() > 5


def test_the_clip_in_words():
    frames = np.zeros((1, 2, 4, 4, 3), np.uint8)
    views = VideoViews(frames, np.array([[3, 50]]), 25.0)
    odds = [0.08, 0.4, 0.3, 0.02, 0.15, 0.05]
    logits, names = np.log(np.array(odds, np.float32)), ["a", "b", "c", "d", "e", "f"]
    found = clip_of(views, False, logits, names)
    assert found.times == ["0.12 s, video frame 3", "2.00 s, video frame 50"]
    assert [name for name, _ in found.classes] == ["b", "c", "e", "a", "f"]
    shown = [share for _, share in found.classes]
    np.testing.assert_allclose(shown, [0.4, 0.3, 0.15, 0.08, 0.05], rtol=1e-5)
    np.testing.assert_array_equal(found.pictures, frames[0])
    flow = views._replace(frames=np.full((1, 2, 4, 4, 6), ZERO, np.uint8), fps=0.0)
    found = clip_of(flow, True, logits, names)
    assert found.times == ["flow from frame 3", "flow from frame 50"]
    assert (found.pictures == 255).all()  # no motion
    assert found.is_flow


def test_colours_of_flow_do_not_mix_with_those_of_the_weights():
    shown = clip()
    pictures = np.full_like(shown.pictures, (0, 255, 0))
    shown = shown._replace(pictures=pictures, is_flow=True)
    image = Image.open(io.BytesIO(animation.animation(shown, relations_of(), 7)))
    right = np.asarray(image.convert("RGB"))[30:318, 312:600].astype(int)
    # Green is grey now; amber has more red than green.
    assert (right[..., 0] + 3 >= right[..., 1]).all()
    assert b'class="strip small flow"' in page.render(shown, relations_of(), (0, 0), SOURCE)


def test_flow_in_colours():
    """To the right is red, to the left cyan, half as far half as full; two fields a snippet."""
    level = 127 / BOUND
    frames = np.full((3, 8, 8, 4), ZERO, np.uint8)
    frames[0, ..., ::2] += int(10 * level)
    frames[1, ..., ::2] -= int(10 * level)
    frames[2, ..., 0] += int(10 * level)  # the other field does not move
    pictures = flow_pictures(frames)
    np.testing.assert_array_equal(pictures[0, 0, 0], [255, 0, 0])
    np.testing.assert_array_equal(pictures[1, 0, 0], [0, 255, 255])
    np.testing.assert_allclose(pictures[2, 0, 0], [255, 128, 128], atol=3)
