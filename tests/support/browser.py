"""A real browser without a window, asked over a pipe: Chromium's own protocol, no driver, no network."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import missing

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
_PATIENCE = 60.0  # s, for a browser on a machine that is busy with guests


class Browser:
    """One tab. `events`: what the browser said by itself, as (method, parameters)."""

    def __init__(self, write: int, read: int) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._write, self._read, self._rest, self._number = write, read, b"", 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._read], [], [], left)[0], "the browser does not answer"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser has ended"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        if "method" in message:
            self.events.append((message["method"], message.get("params", {})))
        return message

    def open(self, page: Path, *, width: int = 1280, dark: bool = False, media: str = "") -> None:
        """Show a file at a width in CSS pixels, and wait until it is loaded and laid out."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + _PATIENCE
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._next(deadline)

    def ask(self, script: str) -> Any:
        """What a script of ours finds in the page. (The page itself runs none.)"""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def shoot(self, to: Path) -> None:
        """A picture of the whole page, for a person to look at."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(shot["data"]))

    def requests(self) -> list[str]:
        """Every address that was asked for since the page was opened."""
        return [p["request"]["url"] for method, p in self.events if method == "Network.requestWillBeSent"]

    def complaints(self) -> list[Any]:
        """What the page put into the console, errors and blocked things included."""
        heard = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [p for method, p in self.events if method in heard]


def _pipe() -> tuple[int, int]:
    """Both ends, away from the numbers that Chromium wants for its own."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in ends)
    for fd in ends:
        os.close(fd)
    return high[0], high[1]


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty profile; it has ended afterwards."""
    program = shutil.which("chromium")
    if program is None:
        missing("chromium", "apt-get install chromium")
    assert program
    theirs_in, ours_out = _pipe()
    ours_in, theirs_out = _pipe()
    with tempfile.TemporaryDirectory(prefix="ks-browser-", ignore_cleanup_errors=True) as profile:
        # Chromium talks on the descriptors 3 and 4; a shell puts them there.
        script = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-'
        child = subprocess.Popen(
            ["bash", "-c", script, program, *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(ours_out, ours_in)
        finally:
            os.close(ours_out)
            os.close(ours_in)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(3)  # it ends with its pipe
            child.kill()
            child.wait(30)
