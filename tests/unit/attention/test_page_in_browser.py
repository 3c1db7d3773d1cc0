"""The page in headless Chromium: clicks, keys, heat maps, requests."""

import json
import re

import cv2
import numpy as np
import pytest
from explanations import HOSTILE, SOURCE, clip, random_attention
from pages import Keys, Shown, browser

from rlstm_tf.attention import heat, page

ROWS, COLUMNS = 3, 5


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def show(chromium, tmp_path):
    """show(relations, clip, link) opens a page; teardown asserts that it requested nothing else."""

    def make(relations=None, shown=None, link="", source=SOURCE, start=(2, 7)):
        relations = relations or random_attention(maps=(ROWS, COLUMNS))
        path = tmp_path / "page.html"
        path.write_bytes(page.render(shown or clip(), relations, start, source))
        return Shown(chromium, path, relations, link)

    yield make
    events = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in asked) == 1
    assert chromium.get_log("browser") == []


@pytest.mark.parametrize("are_shares", [True, False], ids=["shares", "signed"])
def test_clicks(show, are_shares):
    shown = show(random_attention(are_shares=are_shares))
    assert shown.chosen == (2, 7, 4)
    shown.assert_heat_maps()
    for frame, cell in ((1, 0), (3, 14), (3, 6), (0, 4)):
        shown.cell(frame, cell).click()
        assert shown.chosen == (frame, cell, 4)
        shown.assert_heat_maps()
    for gate, label in enumerate(shown.all(".gate")):
        label.click()
        assert shown.chosen == (0, 4, gate)
        shown.assert_heat_maps()


def test_descriptions(show):
    relations = random_attention()
    relations.spatial[2, 1, 7] = np.eye(15, dtype=np.float32)[3] * 0.75
    relations.spatial[2, 1, 7, 11] = 0.25
    relations.temporal[2, 1, 7] = 1 / 15
    shown = show(relations)
    shown.cell(2, 7).click()
    shown.press("f")
    assert shown.text("#chosen") == "Frame 3, row 2, column 3, forget gate"
    assert shown.text("#spatial .peak") == (
        "Attends most to row 1, column 4 (75.0 %), then to row 3, column 2 (25.0 %)."
    )
    # exp(-(0.75 ln 0.75 + 0.25 ln 0.25)) = 1.755
    assert "to 1.8 of 15 cells" in shown.text("#spatial .spread")
    assert shown.text("#spatial .high") == "75.0 %"
    assert shown.text("#temporal .peak") == (
        "Attends to all 15 cells about equally (6.7 % to 6.7 %)."
    )
    assert shown.text("#temporal .high") == "26.7 %"
    assert shown.text("#past") == "Shown on frame 2; the state summarizes frames 1 to 2."
    assert shown.cell(2, 3).get_attribute("title") == "row 1, column 4: 75.0\u00a0%"
    captions = [element.text for element in shown.all(".relation")]
    assert captions == ["", "r(X3, H2)", "r(X3, X3)", ""]
    shown.cell(0, 7).click()
    assert shown.text("#past") == "No past: the state is zero before the first frame."
    assert not shown.one("#temporal .peak").is_displayed()
    live = shown.one("[role=status]")
    assert live.get_attribute("aria-atomic") == "true"
    assert shown.text("#chosen") in live.text


def test_signed_weights(show):
    relations = random_attention(are_shares=False)
    relations.spatial[2, :, 7] = 0.5
    relations.spatial[2, :, 7, 4] = -2.0
    shown = show(relations)
    assert shown.text("#spatial .peak").startswith("Attends most to row 1, column 5 (-2.00), then")
    assert shown.text("#spatial .low") == "-2.00"
    assert shown.text("#spatial .high") == "2.00"
    assert shown.one("#spatial .spread").text == ""
    assert not shown.one("#spatial .even").is_displayed()
    assert shown.cell(2, 4).value_of_css_property("background-color") == color(heat.NEGATIVE)


def color(rgb):
    return f"rgba({', '.join(map(str, rgb))}, {heat.TINT})"


@pytest.mark.parametrize("are_shares", [True, False], ids=["shares", "signed"])
def test_colors_match_the_animation(show, are_shares):
    relations = random_attention(are_shares=are_shares)
    shown = show(relations)
    for frame, kind, rgb in ((2, "spatial", heat.SPATIAL), (1, "temporal", heat.TEMPORAL)):
        w = getattr(relations, kind)[2, :, 7].mean(axis=0)
        top = heat.top_of_scale(w, are_shares)
        gray = np.full((ROWS, COLUMNS, 3), 150, np.uint8)
        expected = heat.overlay(gray, w.reshape(ROWS, COLUMNS), top, rgb).reshape(-1, 3)
        for number in range(ROWS * COLUMNS):
            css = shown.cell(frame, number).value_of_css_property("background-color")
            *over, opacity = map(float, re.findall(r"[\d.]+", css))
            blended = 150 * (1 - opacity) + opacity * np.array(over)
            np.testing.assert_allclose(blended, expected[number], atol=2)


def test_keys(show):
    shown = show()
    shown.cell(1, 7).click()
    for pressed, expected in (
        (Keys.ARROW_RIGHT, (1, 8, 4)),
        (Keys.ARROW_DOWN, (1, 13, 4)),
        (Keys.ARROW_DOWN, (1, 13, 4)),  # the last row
        (Keys.ARROW_LEFT, (1, 12, 4)),
        (Keys.ARROW_UP, (1, 7, 4)),
        ("i", (1, 7, 0)),
        ("F", (1, 7, 1)),
        ("o", (1, 7, 2)),
        ("g", (1, 7, 3)),
        (Keys.PAGE_DOWN, (2, 7, 3)),
        ("]", (3, 7, 3)),
        ("]", (3, 7, 3)),  # the last frame
        (Keys.PAGE_UP, (2, 7, 3)),
        ("[", (1, 7, 3)),
        ("m", (1, 7, 4)),
        ("x", (1, 7, 4)),
    ):
        shown.press(pressed)
        assert shown.chosen == expected
        shown.assert_heat_maps()
        # The focus follows.
        focused = shown.driver.switch_to.active_element
        assert focused == shown.cell(*expected[:2])
        assert focused.get_attribute("aria-selected") == "true"
    for _ in range(9):
        shown.press(Keys.ARROW_LEFT, Keys.ARROW_UP)
    assert shown.chosen == (1, 0, 4)


def test_keyboard_only(show):
    shown = show()
    shown.one("body").send_keys(Keys.TAB)
    assert shown.driver.switch_to.active_element.get_attribute("value") == "m"
    # The arrow wraps around to the first gate, as in any group of radio buttons.
    shown.press(Keys.ARROW_RIGHT)
    assert shown.chosen == (2, 7, 0)
    shown.press("f")
    assert shown.chosen == (2, 7, 1)
    shown.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert shown.driver.switch_to.active_element == shown.cell(2, 7)
    style = "return getComputedStyle(document.activeElement).boxShadow"
    assert shown.driver.execute_script(style).count("rgb") == 3  # the focus is visible
    shown.press(Keys.ARROW_RIGHT)
    assert shown.chosen == (2, 8, 1)
    # Tab stops at a single cell.
    shown.driver.switch_to.active_element.send_keys(Keys.TAB)
    script = "return document.activeElement === document.body"
    assert shown.driver.execute_script(script)


def test_roles_and_names(show):
    shown = show()
    grids = shown.all("[role=grid]")
    assert [grid.accessible_name for grid in grids] == [
        f"Cells of frame {t} of 4" for t in range(1, 5)
    ]
    assert len(shown.all("[role=gridcell]")) == 4 * ROWS * COLUMNS
    assert shown.cell(2, 7).accessible_name == "row 2, column 3"
    names = [radio.accessible_name for radio in shown.all("input")]
    assert names == [
        *("i input gate", "f forget gate", "o output gate", "g candidate", "m mean of the four"),
    ]
    assert [image.get_attribute("alt") for image in shown.all("img")][1] == (
        "Frame 2: 0.10 s, video frame 1"
    )


def test_links(show):
    shown = show(link="#frame=4&cell=15&gate=o")
    assert shown.chosen == (3, 14, 2)
    shown.assert_heat_maps()
    shown.press("i")
    shown.cell(0, 3).click()
    assert shown.driver.current_url.endswith("#frame=1&cell=4&gate=o")
    shown.driver.execute_script("location.hash = 'frame=9&cell=x&gate=constructor'")
    assert shown.chosen == (0, 3, 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 700, 320])
def test_screenshots(show, width, scheme):
    shown = show()
    cdp = shown.driver.execute_cdp_cmd
    cdp("Emulation.setEmulatedMedia", {"features": [_preferred(scheme)]})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    cdp("Emulation.setDeviceMetricsOverride", size)
    try:
        image = shown.screenshot()
        assert image.shape == (900, width, 3)
        assert image.std() > 20
        assert (np.median(image) < 60) == (scheme == "dark")
        wide = "return document.documentElement.scrollWidth"
        assert shown.driver.execute_script(wide) <= width
        boxes = [frame.rect for frame in shown.all(".picture")]
        assert all(box["width"] == pytest.approx(box["height"], abs=1) for box in boxes)
        across = sum(box["y"] == boxes[0]["y"] for box in boxes)
        assert across == {1280: 4, 700: 2, 320: 1}[width]
    finally:
        cdp("Emulation.clearDeviceMetricsOverride", {})
        cdp("Emulation.setEmulatedMedia", {"features": []})


def _preferred(scheme):
    return {"name": "prefers-color-scheme", "value": scheme}


def test_heat_map_is_visible(show):
    """Compares the pixels of a bright cell and of dark ones in a screenshot of the frame."""
    relations = random_attention()
    relations.spatial[2, :, 7] = np.eye(15, dtype=np.float32)[12]
    shown = show(relations)
    frame = shown.all(".frame")[2].find_element("css selector", ".picture")
    png = np.frombuffer(frame.screenshot_as_png, np.uint8)
    image = cv2.imdecode(png, cv2.IMREAD_COLOR_RGB).astype(float)
    cells = [
        cell for row in np.array_split(image, ROWS) for cell in np.array_split(row, COLUMNS, axis=1)
    ]
    means = np.array([cell[8:-8, 8:-8].mean(axis=(0, 1)) for cell in cells])
    assert means[:, 0].argmax() == 12
    assert means[12, 0] > means[12, 2] + 40  # amber
    assert np.delete(means, 12, axis=0).max() < 100


def test_hostile_names_run_nothing(show):
    source = page.Source(*[HOSTILE] * 4)
    closing = "</title></script><script>window.hacked = 1</script>"
    hostile = clip(classes=[(HOSTILE, 0.5), (closing, 0.25), ("javascript:hacked=1", 0.25)])
    shown = show(shown=hostile._replace(times=[HOSTILE, closing] * 2), source=source)
    run = shown.driver.execute_script
    assert run("return window.hacked") is None
    assert run("return document.scripts.length") == 2
    assert run("return document.images.length") == 4
    assert run("return document.querySelector('h1').textContent") == HOSTILE
    assert run("return document.querySelectorAll('.classes .name')[1].textContent") == closing
    shown.cell(1, 3).click()
    shown.press("f")
    assert shown.chosen == (1, 3, 1)


def test_content_security_policy(show):
    """Unescaped scripts would still not run."""
    shown = show()
    shown.driver.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.hacked = 1';"
        "document.head.append(script);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=hacked=1>');"
    )
    later = "setTimeout(() => arguments[0](window.hacked), 100)"
    # An arrow function sees the arguments of the enclosing script.
    assert shown.driver.execute_async_script(later) is None
    refused = [entry["message"] for entry in shown.driver.get_log("browser")]
    assert sum("Content Security Policy" in message for message in refused) >= 2
