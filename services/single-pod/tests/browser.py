"""Headless Chromium, as one person with one window."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

CHROMIUM = Path("/usr/bin/chromium")
DRIVER = Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
SECONDS = 20.0


class Browser:
    """One tab. `script` runs JavaScript in it; the rest says what a person does or sees."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, url: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """A page, when it has been filled; what the logs held before is dropped."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self._driver.get("about:blank")
        self.complaints()
        self.addresses_asked()
        self._driver.get(url)
        self.until(lambda: self.script("return document.body.dataset.ready"))

    def script(self, text: str, *arguments: object) -> Any:
        return self._driver.execute_script(text, *arguments)  # type: ignore[no-untyped-call]

    def until(self, holds: Callable[[], Any], *, seconds: float = SECONDS) -> Any:
        """What `holds` gives as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, self.text("body")
            time.sleep(0.05)
        return found

    def text(self, selector: str) -> str:
        """What can be read there, on one line."""
        found = self.script("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector)
        return " ".join(" ".join(found).split())

    def is_shown(self, selector: str) -> bool:
        return bool(self.script("return document.querySelector(arguments[0])?.checkVisibility()", selector))

    def press(self, *keys: str) -> None:
        for key in keys:
            self._driver.switch_to.active_element.send_keys(key)

    def colours(self, selector: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Colour of a text and of the ground below it."""
        found = self.script(
            """const one = document.querySelector(arguments[0]);
            let below = one;
            while (getComputedStyle(below).backgroundColor === 'rgba(0, 0, 0, 0)') below = below.parentElement;
            return [getComputedStyle(one).color, getComputedStyle(below).backgroundColor];""",
            selector,
        )
        text, ground = (tuple(float(part) for part in re.findall(r"[\d.]+", colour)[:3]) for colour in found)
        return text, ground

    def complaints(self) -> list[str]:
        """What the console has said since it was asked last."""
        return [entry["message"] for entry in self._driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def addresses_asked(self) -> list[str]:
        """Addresses that were requested since this was asked last."""
        events = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]  # type: ignore[no-untyped-call]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def picture(self, path: Path) -> None:
        self._driver.save_screenshot(str(path))


@contextmanager
def opened_browser() -> Iterator[Browser]:
    """A browser with a profile of its own, for the time of the block."""
    options = Options()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(prefix="kura-browser-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)  # type: ignore[no-untyped-call]
        driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
        try:
            yield Browser(driver)
        finally:
            driver.quit()


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """How well two colours differ, 1 to 21 (WCAG 2)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[float, ...]) -> float:
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


__all__ = ["CHROMIUM", "DRIVER", "Browser", "Keys", "contrast", "opened_browser"]
