"""A headless Chromium, driven over its DevTools protocol as a person would: look, click, type; every request it makes is noted.

with opened(folder) as page:
    page.go("http://127.0.0.1:4200")
    page.click("Login")
"""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect
from websockets.sync.connection import Connection

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No requests of its own, and nothing but this machine can be reached: an attempt shows all the same.
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--window-size=1400,1800",
    "--remote-debugging-port=0",
)
START_S, PATIENCE_S = 60.0, 45.0
CLICKABLE = "button, a, li, [role=button], [role=option], label, input, textarea, span"
# The innermost visible element that says this, scrolled into sight, and where its middle is.
FIND = """((text, among) => {
    const says = e => (e.innerText || e.value || e.placeholder || e.ariaLabel || "").trim().toLowerCase();
    const seen = [...document.querySelectorAll(among)].filter(e => e.getClientRects().length && says(e).includes(text.toLowerCase()));
    const inner = seen.filter(e => !seen.some(other => other !== e && e.contains(other)));
    const found = inner.find(e => says(e) === text.toLowerCase()) || inner[0];
    if (!found) return null;
    found.scrollIntoView({block: "center"});
    const box = found.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
})"""


def program() -> str | None:
    """Where Chromium is; None where it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One tab. `requests` are the addresses it asked for, sockets included, in order; `errors` what its scripts threw."""

    def __init__(self, socket: Connection) -> None:
        self.socket, self.ids = socket, itertools.count(1)
        self.requests: list[str] = []
        self.errors: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self.ids)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self.socket.recv(timeout=PATIENCE_S))
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]
            self.hear(said)

    def hear(self, said: dict[str, Any]) -> None:
        match said["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(said["params"]["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(said["params"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(said["params"]["exceptionDetails"])[:500])

    def go(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def js(self, script: str) -> Any:
        said = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, script: str, seconds: float = PATIENCE_S) -> Any:
        """What a script says as soon as it says something."""
        for _ in range(int(seconds * 10)):
            if found := self.js(script):
                return found
            time.sleep(0.1)
        raise AssertionError(f"it did not come to {script}; the page says:\n{self.text()}")

    def sees(self, text: str, seconds: float = PATIENCE_S) -> None:
        """Wait until the page says this."""
        self.until(f"document.body?.innerText.toLowerCase().includes({json.dumps(text.lower())})", seconds)

    def text(self) -> str:
        return self.js("document.body.innerText")

    def click(self, text: str, among: str = CLICKABLE) -> None:
        """Press the mouse on what says this, once it stands still."""
        find, before = f"{FIND}({json.dumps(text)}, {json.dumps(among)})", None
        while (at := self.until(find)) != before:
            before = at
            time.sleep(0.3)
        self.press(*at)

    def press(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def write(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def keys(self, text: str) -> None:
        """Press the keys one by one: a field for a day takes them no other way."""
        for key in text:
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    def shot(self, file: Path) -> None:
        """A picture of what is in sight, for people."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def opened(profile: Path) -> Iterator[Page]:
    """An empty tab of a browser with a profile of its own, until the block ends."""
    name = program()
    assert name, "there is no Chromium: apt-get install chromium"
    profile.mkdir(parents=True, exist_ok=True)
    with (profile / "chromium.log").open("wb") as log:
        process = subprocess.Popen([name, *SWITCHES, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log)
    try:
        with connect(first_tab(profile / "DevToolsActivePort"), max_size=None) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Network"):
                page.call(f"{domain}.enable")
            yield page
    finally:
        process.terminate()
        process.wait(20)


def first_tab(port_file: Path) -> str:
    """The address at which the browser's first tab is driven."""
    for _ in range(int(START_S * 10)):
        with contextlib.suppress(OSError, httpx.HTTPError, IndexError):
            port = port_file.read_text().split()[0]
            for tab in httpx.get(f"http://127.0.0.1:{port}/json/list", trust_env=False).json():
                if tab["type"] == "page":
                    return tab["webSocketDebuggerUrl"]
        time.sleep(0.1)
    raise AssertionError("Chromium did not open a tab")
