"""Chromium without a window, driven by the DevTools protocol over a pipe: pages, keys, clicks, pictures."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 60  # seconds that any answer may take on a busy machine
SIZE = (1400, 950)


class Browser:
    """One page. complaints: errors of the console; requests: addresses that the page has asked for."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.received, self.number, self.session = b"", 0, None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = SIZE
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        number = self.number
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self._notice(answer)

    def open(self, address: str) -> None:
        """Open a page, anew where only the part after # differs, and wait until it is loaded."""
        self._navigate("about:blank")
        self.complaints.clear()
        self.requests.clear()
        self._navigate(address)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"{expression} did not become true; console: {self.complaints}"
            time.sleep(0.05)

    def press(self, key: str, times: int = 1) -> None:
        """Press a key."""
        codes = {
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
            "PageUp": 33,
            "PageDown": 34,
        }
        code = codes.get(key, ord(key[0].upper()))
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def click(self, x: float, y: float) -> None:
        """Click at a point of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Save a picture of the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _navigate(self, address: str) -> None:
        self.loaded = False
        self.call("Page.navigate", url=address)
        while not self.loaded:
            self._notice(self._next())

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.received:
            ready, _, _ = select.select([self.answers], [], [], max(0, end - time.monotonic()))
            content = os.read(self.answers, 1 << 20) if ready else b""
            assert content, "Chromium does not answer"
            self.received += content
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def _notice(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith("data:"):
            self.requests.append(params["request"]["url"])


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser that can look up no name but this machine's; skips the test where there is none."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium): pages are not opened")
    ends = os.pipe(), os.pipe()
    # The protocol is read from file 3 and answered on file 4.
    given, taken = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ends[0][0], ends[1][1]))
    command = [
        *(
            "bash",
            "-c",
            f'exec "$@" 3<&{given} 4>&{taken}',
            "chromium",
            CHROMIUM,
            "--headless",
            "--disable-gpu",
        ),
        *(
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ),
        *("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.*"),
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    process = subprocess.Popen(
        command, pass_fds=(given, taken), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for end in (given, taken, ends[0][0], ends[1][1]):
        os.close(end)
    try:
        browser = Browser(ends[0][1], ends[1][0])
        yield browser
        browser.session = None
        browser.call("Browser.close")
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        os.close(ends[0][1])
        os.close(ends[1][0])
