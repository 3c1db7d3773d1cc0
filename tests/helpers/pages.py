"""Headless Chromium, and access to the page of attention maps in it."""

from __future__ import annotations

import contextlib
import shutil

import cv2
import numpy as np
import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    # Skips the modules that import this one.
    pytest.skip(
        "needs Chromium and its driver: apt-get install chromium chromium-driver",
        allow_module_level=True,
    )

Keys = webdriver.Keys
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1280,900", "--hide-scrollbars"),
)


@contextlib.contextmanager
def browser(profile):
    """Starts headless Chromium, which logs its requests and console messages.

    Args:
        profile: empty directory for the browser profile.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Without the path, selenium would download a driver.
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Shown:
    """A page in the browser."""

    def __init__(self, driver, path, relations, link=""):
        self.driver, self.relations = driver, relations
        driver.get("about:blank")
        for log in ("browser", "performance"):
            driver.get_log(log)
        driver.get(path.as_uri() + link)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def text(self, selector):
        return self.one(selector).text.replace("\u00a0", " ")

    def cell(self, frame, number):
        return self.all(".frame")[frame].find_elements("css selector", "[role=gridcell]")[number]

    def press(self, *keys):
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    @property
    def chosen(self):
        """Selected (frame, cell, gate), from 0; gate 4 is the mean."""
        attributes = self.one("#view").get_property("dataset")
        return tuple(int(attributes[name]) for name in ("frame", "cell", "gate"))

    def heat_maps(self):
        """Returns the weights in the cells of each frame that shows a heat map."""
        script = """return [...document.querySelectorAll(".frame")].map((frame) =>
            [...frame.querySelectorAll("[data-weight]")].map((cell) => +cell.dataset.weight))"""
        return {t: w for t, w in enumerate(self.driver.execute_script(script)) if w}

    def assert_heat_maps(self):
        """Asserts that the page shows the weights of the selection, and no others."""
        frame, cell, gate = self.chosen
        gates = slice(None) if gate == 4 else slice(gate, gate + 1)
        expected = {frame: self.relations.spatial[frame, gates, cell].mean(axis=0)}
        if frame:
            expected[frame - 1] = self.relations.temporal[frame, gates, cell].mean(axis=0)
        found = self.heat_maps()
        assert sorted(found) == sorted(expected)
        for t, w in expected.items():
            np.testing.assert_allclose(found[t], w, atol=1e-4 * np.abs(w).max())

    def screenshot(self):
        png = np.frombuffer(self.driver.get_screenshot_as_png(), np.uint8)
        return cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)
