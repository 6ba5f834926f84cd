"""Drive a headless Chromium through its DevTools protocol, with nothing but the standard library."""

import base64
import contextlib
import functools
import http.server
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS = 30


def executable():
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/favicon.ico":  # Chromium asks for it unbidden
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, format, *arguments):
        pass


@contextlib.contextmanager
def served(folder):
    """Serve a folder at the address that is yielded."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Socket:
    """As much of a WebSocket (RFC 6455) as text messages to a process on this machine need."""

    def __init__(self, address):
        host, _, path = address.removeprefix("ws://").partition("/")
        name, _, port = host.partition(":")
        self.socket = socket.create_connection((name, int(port)), timeout=SECONDS)
        self.file = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (f"GET /{path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade")
        lines += (f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", "")
        self.socket.sendall("\r\n".join(lines).encode())
        if b"101" not in self.file.readline():
            raise ConnectionError("Chromium did not open its socket")
        while self.file.readline().strip():
            pass

    def send(self, text):
        data = text.encode()
        size = len(data)
        kind = 126 if size < 65536 else 127
        head = struct.pack("!BB", 0x81, 0x80 | size) if size < 126 else struct.pack("!BB", 0x81, 0x80 | kind)
        if size >= 126:
            head += struct.pack("!H" if kind == 126 else "!Q", size)
        self.socket.sendall(head + bytes(4) + data)  # a mask of zeros leaves the text as it is

    def receive(self):
        whole = b""
        while True:
            first, second = self.file.read(2)
            size = second & 0x7F
            if size >= 126:
                (size,) = (
                    struct.unpack("!H", self.file.read(2)) if size == 126 else struct.unpack("!Q", self.file.read(8))
                )
            data = self.file.read(size)
            if first & 0x0F <= 2:  # pings and the like say nothing
                whole += data
                if first & 0x80:
                    return whole.decode()

    def close(self):
        self.file.close()
        self.socket.close()


class Page:
    """One tab: go somewhere, evaluate JavaScript, press and drag; ``complaints`` are the errors of its console."""

    def __init__(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=SECONDS) as answer:
            tabs = json.load(answer)
        self._socket = _Socket(next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"])
        self._count = itertools.count(1)
        self._events = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self._socket.close()

    def call(self, method, **parameters):
        """Call a method of the protocol and return its result; events that come meanwhile are kept."""
        number = next(self._count)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.receive())
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._events.append(message)

    def evaluate(self, expression):
        """Return the value of a JavaScript expression (a promise is waited for)."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", "JavaScript failed"))
        return found["result"].get("value")

    def wait(self, expression):
        """Return once the expression is true."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {SECONDS} s: {expression}")
            time.sleep(0.02)

    def go(self, address):
        """Open an address and wait until all of it is there."""
        self._events.clear()
        self.evaluate("window.isThePageBefore = true")
        self.call("Page.navigate", url=address)
        self.wait("!window.isThePageBefore && document.readyState === 'complete'")

    def size(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def key(self, name):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def click(self, selector):
        """Click what the selector finds with the mouse: some things Chromium does for none but a user."""
        self.drag(selector, 0, 0)

    def drag(self, selector, right, down):
        """Drag what the selector finds by so many pixels."""
        where = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{where}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.evaluate(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({where}.getBoundingClientRect())")
        self._mouse("mouseMoved", x, y, "none")
        self._mouse("mousePressed", x, y, "left")
        if not right and not down:
            self._mouse("mouseReleased", x, y, "left")
            return
        for part in (0.5, 1.0):
            self._mouse("mouseMoved", x + part * right, y + part * down, "left")
        self._mouse("mouseReleased", x + right, y + down, "left")

    def _mouse(self, kind, x, y, button):
        more = {} if button == "none" else {"buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, **more)

    def picture(self, path):
        """Write a picture of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    @property
    def complaints(self):
        """What the console calls an error since the page was opened; files from other servers are not ours."""
        out = []
        for event in self._events:
            what = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                details = what["exceptionDetails"]
                out.append(details.get("exception", {}).get("description") or details["text"])
            elif event.get("method") == "Runtime.consoleAPICalled" and what["type"] in {"error", "assert"}:
                out.append(" ".join(str(part.get("value", part.get("description"))) for part in what["args"]))
            elif event.get("method") == "Log.entryAdded" and what["entry"]["level"] == "error":
                entry = what["entry"]
                if entry["source"] != "network" or "//127.0.0.1" in entry.get("url", ""):
                    out.append(f"{entry['text']} {entry.get('url', '')}")
        return out


@contextlib.contextmanager
def opened():
    """Start a headless Chromium and yield its page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
        options += ("--no-first-run", "--disable-extensions", "--mute-audio", "--remote-debugging-port=0")
        options += (f"--user-data-dir={home}",)
        with subprocess.Popen(
            [executable(), *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                said = Path(home) / "DevToolsActivePort"
                end = time.monotonic() + SECONDS
                while not (said.exists() and said.read_text().count("\n")):
                    if process.poll() is not None or time.monotonic() > end:
                        raise RuntimeError("Chromium did not start")
                    time.sleep(0.05)
                page = Page(int(said.read_text().splitlines()[0]))
                try:
                    yield page
                finally:
                    page.close()
            finally:
                process.terminate()
                process.wait(SECONDS)
