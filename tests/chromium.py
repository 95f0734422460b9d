"""A Chromium without a window, driven over a pipe by its own protocol (DevTools): pages that stay open and live.

Source: chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
_SECONDS = 30


class Page:
    """A tab."""

    def __init__(self, browser: _Pipe) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": target, "flatten": True}
        self._session: str = browser.call("Target.attachToTarget", attach)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def log_in(self, port: int, token: str) -> None:
        """Open the boot server's page at a port of loopback as the operator."""
        self.open(f"http://127.0.0.1:{port}/")
        self.until("document.activeElement?.id === 'token'")
        self.type(token)
        self.key("Enter")
        self.until("document.querySelector('.connection.live')")

    def call(self, method: str, parameters: dict[str, Any] | None = None) -> Any:
        return self._browser.call(method, parameters, self._session)

    def open(self, url: str) -> None:
        """Go there; returns before it has loaded."""
        self.call("Page.navigate", {"url": url})

    def run(self, script: str) -> Any:
        """The value of an expression in the page, which may be a promise."""
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        answer = self.call("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = _SECONDS) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < end, f"never true: {script}\n{self.text}\n{self.complaints}"
            time.sleep(0.05)

    def key(self, key: str) -> None:
        """Press and let go of a key: a letter, or a name such as `Enter`."""
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40, "ArrowUp": 38, "End": 35, "Home": 36}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        value = {"key": key, "text": text, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.call("Input.dispatchKeyEvent", {"type": "keyDown", **value})
        self.call("Input.dispatchKeyEvent", {"type": "keyUp", **value})

    def type(self, text: str) -> None:
        self.call("Input.insertText", {"text": text})

    def resize(self, width: int, height: int) -> None:
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", sizes)

    def prefer(self, scheme: str) -> None:
        """`dark` or `light`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", {"features": features})

    def picture(self, path: Path) -> None:
        """What is seen, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    @property
    def text(self) -> str:
        """What can be read."""
        return str(self.run("document.body.innerText"))

    @property
    def complaints(self) -> list[str]:
        """What went wrong in it so far: exceptions, and what the browser refused to do."""
        return [
            json.dumps(event["params"])
            for event in self._browser.events
            if event.get("sessionId") == self._session
            and (
                event["method"] == "Runtime.exceptionThrown"
                or (
                    event["method"] == "Log.entryAdded"
                    and event["params"]["entry"]["source"] in ("security", "javascript")
                )
            )
        ]


class _Pipe:
    """Messages as JSON with a NUL behind each; answers are told from events by their id."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events: list[Any] = []

    def call(self, method: str, parameters: dict[str, Any] | None = None, session: str = "") -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters or {}}
        sent = json.dumps({**message, **({"sessionId": session} if session else {})}).encode() + b"\0"
        while sent:
            sent = sent[os.write(self._write, sent) :]
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def _next(self) -> Any:
        with selectors.DefaultSelector() as selector:
            selector.register(self._read, selectors.EVENT_READ)
            while b"\0" not in self._rest:
                assert selector.select(_SECONDS), "Chromium does not answer"
                piece = os.read(self._read, 1 << 20)
                assert piece, "Chromium has ended"
                self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A tab of a browser that keeps its things in `folder`; gone after the block."""
    to_browser, from_browser = os.pipe(), os.pipe()
    # It reads from descriptor 3 and writes to 4.
    shell = 'exec chromium "$@" 3<&"$IN" 4>&"$OUT"'
    environment = {**os.environ, "IN": str(to_browser[0]), "OUT": str(from_browser[1])}
    argv = ["bash", "-c", shell, "chromium", *FLAGS, f"--user-data-dir={folder}"]
    passed = (to_browser[0], from_browser[1])
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        argv, env=environment, pass_fds=passed, stdin=silent, stdout=silent, stderr=silent
    ) as process:
        for end in passed:
            os.close(end)
        try:
            yield Page(_Pipe(to_browser[1], from_browser[0]))
        finally:
            process.terminate()
            process.wait(20)
            os.close(to_browser[1])
            os.close(from_browser[0])
