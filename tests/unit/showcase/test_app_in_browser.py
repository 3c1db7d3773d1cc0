"""The page in headless Chromium: a video, its answer, a click, maps, a broken file."""

import json
import re
import signal
import subprocess

import pytest
import warm_python
from pages import browser

pytest.importorskip("gradio", reason="needs the extra app")

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

from rlstm_tf import predict
from rlstm_tf.cli import app
from rlstm_tf.showcase import plot

WINDOWS = ("--window=0.4", "--stride=0.2")


@pytest.fixture
def served(tiny_export, tiny_run):
    """The command, and the address that it prints."""
    line = ["-m", "rlstm_tf.app", f"--model={tiny_export}", f"--run_dir={tiny_run}", "--port=0"]
    process = warm_python.Python([*line, *WINDOWS], stderr=subprocess.PIPE)
    try:
        yield process, re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
    finally:
        process.kill()


class Shown:
    """The page in a browser, which downloads into a directory."""

    def __init__(self, driver, address, downloads):
        self.driver, self.address = driver, address
        driver.execute_cdp_cmd(
            "Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
        )
        for log in ("browser", "performance"):
            driver.get_log(log)
        driver.get(address)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def wait(self, condition):
        """Waits until a condition holds; returns its value."""
        changing = (NoSuchElementException, StaleElementReferenceException)
        return WebDriverWait(self.driver, 60, 0.1, changing).until(lambda _: condition())

    def upload(self, path):
        self.wait(lambda: self.one("#video input[type=file]")).send_keys(str(path))
        return self.wait(self.status)

    def status(self):
        return self.one("#status textarea").get_property("value")

    def click_plot(self, share):
        """Clicks at a share of the plot's width."""
        image = self.wait(lambda: self.one("#plot img"))
        across = round((share - 0.5) * image.rect["width"])
        ActionChains(self.driver).move_to_element_with_offset(image, across, 0).click().perform()

    def time_of_maps(self):
        """Returns the time of the frame that the relation maps select, seconds."""
        self.driver.switch_to.default_content()
        self.driver.switch_to.frame(self.one("#maps iframe"))
        assert self.one("h1").text == "clip.mp4"
        return float(self.one("[data-is=now] figcaption .soft").text.split()[0])

    def requests(self):
        events = [
            json.loads(one["message"])["message"] for one in self.driver.get_log("performance")
        ]
        return {
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        }


def test_a_video_a_click_and_a_broken_file(
    tiny_export, served, make_video, tmp_path, monkeypatch, capsys
):
    process, address = served
    make_video(tmp_path / "clip.mp4", frames=50)
    (tmp_path / "broken <b>.mp4").write_bytes(b"no video")
    monkeypatch.chdir(tmp_path)
    line = ["predict", "clip.mp4", f"--model={tiny_export}", "--timeline", "--json", *WINDOWS]
    assert app.run(predict.main, predict.define_flags, line, positional="videos") == 0
    expected = capsys.readouterr().out
    segments = json.loads(expected)["segments"]

    with browser(tmp_path / "profile") as driver:
        shown = Shown(driver, address, tmp_path / "downloads")
        status = shown.upload(tmp_path / "clip.mp4")
        assert status.startswith(f"clip.mp4: 2.0 s, 50 frames, {len(segments)} segment")
        assert segments[0]["top"][0]["label"] in shown.wait(lambda: shown.one("#segments").text)
        shown.one("#json").click()
        file = tmp_path / "downloads" / "clip.json"
        shown.wait(file.exists)
        assert file.read_text() == expected

        seconds = plot.time_at(0.4 * plot.WIDTH, 2.0)
        shown.click_plot(0.4)
        # 25 frames a second; the plot has about 500 pixels for the 50.
        label = f"Frame {int(25 * seconds)}, {int(25 * seconds) / 25:.2f} s"
        shown.wait(lambda: label in shown.one("#frame").text)
        # A window has 2 frames, 0.2 s apart.
        shown.wait(lambda: abs(shown.time_of_maps() - seconds) < 0.15)
        driver.switch_to.default_content()

        shown.one("#video button[aria-label=Clear]").click()
        shown.wait(lambda: not shown.status())
        message = "cannot be opened: Invalid data found when processing input"
        assert shown.upload(tmp_path / "broken <b>.mp4") == f"error: broken <b>.mp4: {message}"
        assert not driver.find_elements("css selector", "#plot img, #frame img")
        assert not shown.one("#json").is_enabled()

        asked = shown.requests()
        local = (address, "data:", f"blob:{address}")
        assert [url for url in asked if not url.startswith(local)] == []
        assert any("/upload" in url for url in asked)
        severe = [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]
        assert severe == []
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "", "")
