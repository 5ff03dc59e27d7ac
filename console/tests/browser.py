#!/usr/bin/env python3
"""Clicks through the console in a headless Chromium, as a user does, and fails if the page does not behave.

usage: browser.py PROGRAM [FOLDER]

PROGRAM is the example console_demo. If FOLDER is given, the script saves pictures of the page there: light,
dark, narrow. Needs only Python's standard library and Chromium. The two speak the DevTools protocol through
a pair of pipes.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time


class Browser:
    """A Chromium with one page."""

    def __init__(self, executable):
        self.folder = tempfile.mkdtemp(prefix="greyspan-browser-")
        self.read, their_write = os.pipe()
        their_read, self.write = os.pipe()
        # The protocol's pipes are file descriptors 3 and 4.
        shell = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--remote-debugging-pipe",
                 f"--user-data-dir={self.folder}", "about:blank"]
        self.process = subprocess.Popen(["bash", "-c", shell, "browser", str(their_read), str(their_write), executable, *flags],
                                        pass_fds=(their_read, their_write), stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(their_read)
        os.close(their_write)
        self.buffer, self.number, self.session = b"", 0, None
        self.requests, self.complaints = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Network", "Log"]:
            self.call(domain + ".enable")

    def receive(self, end):
        while b"\0" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.read], [], [], left)[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self.read, 1 << 20)
            if not part:
                raise EOFError("the browser ended")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(message)
        method, about = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append((about["request"]["method"], about["request"]["url"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"].get("exception", {}).get("description", str(about)))
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(about["entry"]["text"])
        return message

    def call(self, method, **about):
        self.number += 1
        message = {"id": self.number, "method": method, "params": about}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 30
        while True:
            answer = self.receive(end)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def js(self, expression):
        """Returns the value of an expression in the page. If it is a promise, waits for its value."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']['exception']['description']}")
        return result["result"].get("value")

    def until(self, what, expression, seconds=30):
        """Waits until the expression is true, at most so many seconds. `what` names the check."""
        end = time.monotonic() + seconds
        while not (value := self.js(expression)):
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within {seconds} s: {expression}")
            time.sleep(0.1)
        print(f"ok: {what}")
        return value

    def click(self, expression):
        """Clicks in the middle of the element, which must be visible."""
        x, y, hit = self.js(f"""(() => {{
            const node = {expression};
            node.scrollIntoView({{ block: "center" }});
            const box = node.getBoundingClientRect(), x = box.left + box.width / 2, y = box.top + box.height / 2;
            return [x, y, node.contains(document.elementFromPoint(x, y))];
        }})()""")
        assert hit, f"something lies over {expression}"
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="none" if kind == "mouseMoved" else "left", clickCount=1)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def key(self, name):
        for kind in ["keyDown", "keyUp"]:
            self.call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode={"Escape": 27}.get(name, 0))

    def look(self, width, height, scheme):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        time.sleep(1.5)

    def picture(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def close(self):
        # The whole process group: Chromium starts further processes.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def click_through(browser, url, folder):
    browser.look(1400, 1000, "light")
    browser.call("Page.navigate", url=url)
    browser.until("the page is live", "document.querySelector('#state.live') !== null")
    assert browser.js("document.querySelector('#program').textContent") == "console_demo"
    browser.until("the tiles have figures", "/\\d.*[KMG]iB/.test(document.querySelector('#tiles').textContent)")

    # The heap over time.
    browser.until("the chart is drawn", "document.querySelectorAll('#chart path.area').length >= 3")
    points = "document.querySelector('#chart path.edge').getAttribute('d').split('L').length"
    before = browser.js(points)
    browser.until("the chart fills", f"{points} >= {before + 2}")
    areas = browser.js("document.querySelectorAll('#chart path.area').length")
    browser.click("document.querySelector('#chart-legend button:last-child')")
    assert browser.js("document.querySelectorAll('#chart path.area').length") == areas + 1
    browser.click("document.querySelector('#chart-legend button:last-child')")
    assert browser.js("document.querySelectorAll('#chart path.area').length") == areas
    browser.click("document.querySelector('#chart-range button[data-seconds=\"60\"]')")
    assert browser.js("document.querySelector('#chart-range .on').textContent") == "1 min"
    browser.click("document.querySelector('#chart')")
    browser.until("the tip shows the figures", "/Resident/.test(document.querySelector('#tip:not([hidden])')?.textContent ?? '')")

    # Size classes: sessions of 1024 bytes fill the class of that size.
    browser.until("the class of 1 KiB shows", "/[1-9]/.test(document.querySelector('#classes tr[data-size=\"1024\"] td:nth-child(2)')?.textContent ?? '')")
    browser.click("document.querySelector('#classes th button')")
    sizes = browser.js("[...document.querySelectorAll('#classes tbody tr')].map(row => Number(row.dataset.size))")
    assert sizes == sorted(sizes) and len(sizes) > 3, sizes
    browser.click("document.querySelectorAll('#classes th button')[2]")

    # The heap map.
    browser.until("the heap map is drawn", """(() => {
        const canvas = document.querySelector('#map canvas');
        if (!canvas || !canvas.width || !canvas.height) return false;
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, colours = new Set();
        for (let at = 0; at < pixels.length; at += 4) if (pixels[at + 3]) colours.add(pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2]);
        return colours.size >= 3;
    })()""")
    browser.js("document.querySelector('#map canvas').scrollIntoView({ block: 'center' })")
    x, y = browser.js("(() => { const box = document.querySelector('#map canvas').getBoundingClientRect(); return [box.left + 12, box.top + 12]; })()")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    browser.until("the heap map describes a cell", "document.querySelector('#map-detail').textContent.length > 8")

    # The flame graph: zoom and search.
    frame = "[...document.querySelectorAll('#flame g')].find(frame => frame.dataset.name.includes('remember_session'))"
    browser.until("the flame graph shows the leaking function", f"{frame} !== undefined")
    browser.until("the flame graph shows the function with the settings", "[...document.querySelectorAll('#flame g')].some(frame => frame.dataset.name.includes('load_settings'))")
    browser.click("document.querySelector('#pause')")
    browser.until("the page stands still", "document.querySelector('#state').textContent.includes('paused')")
    time.sleep(1)
    width = f"Number({frame}.querySelector('rect').getAttribute('width'))"
    before, whole = browser.js(width), browser.js("document.querySelector('#flame').clientWidth")
    assert before < 0.999 * whole, (before, whole)
    browser.click(frame)
    assert abs(browser.js(width) - whole) < 1, "a click makes the frame as wide as the graph"
    assert browser.js("document.querySelectorAll('#flame g.above').length") > 1
    browser.click("document.querySelector('#flame-reset')")
    assert abs(browser.js(width) - before) < 1
    browser.click("document.querySelector('#flame-search')")
    browser.type("REMEMBER_session")
    browser.until("the search highlights", "document.querySelectorAll('#flame g.matched').length >= 1 && document.querySelectorAll('#flame g.missed').length >= 1")
    names = browser.js("[...document.querySelectorAll('#flame g.matched')].map(frame => frame.dataset.name)")
    assert all("remember_session" in name for name in names), names
    matched = browser.js("document.querySelector('#flame-matched').textContent")
    assert float(matched.split()[0]) > 5, matched
    if folder:
        browser.picture(os.path.join(folder, "search.png"))
    browser.key("Escape")
    assert browser.js("document.querySelectorAll('#flame g.matched').length") == 0
    browser.click("document.querySelector('#flame-shape button[data-shape=top]')")
    first = browser.js("document.querySelector('#top tbody tr').textContent")
    assert browser.js("document.querySelectorAll('#top tbody tr').length") > 3, first
    browser.click("document.querySelector('#flame-shape button[data-shape=flame]')")
    browser.click("document.querySelector('#pause')")
    browser.until("the page goes on", "document.querySelector('#state.live') !== null")
    browser.js("""(() => { const view = document.querySelector('#flame-view'); view.value = 'alloc_space'; view.dispatchEvent(new Event('change')); })()""")
    browser.until("the churn shows", "[...document.querySelectorAll('#flame g')].some(frame => frame.dataset.name.includes('render'))")
    browser.js("""(() => { const view = document.querySelector('#flame-view'); view.value = 'inuse_space'; view.dispatchEvent(new Event('change')); })()""")
    browser.until("the view is back", f"{frame} !== undefined")
    browser.click("document.querySelector('#flame-mark')")
    browser.until("the comparison shows the growth", f"document.querySelector('#flame-detail').textContent.startsWith('grown since') && {frame} !== undefined")
    browser.click("document.querySelector('#flame-mark')")

    # Actions.
    browser.click("document.querySelector('#purge')")
    browser.until("the purge button purges", "/given back to the system/.test(document.querySelector('#toast:not([hidden])')?.textContent ?? '')")
    browser.until("the purge is among the events", "/purge/i.test(document.querySelector('#events').textContent)")
    if browser.js("!document.querySelector('#card-gc').hidden"):
        browser.click("document.querySelector('#collect')")
        browser.until("the collect button collects", "/managed heap collected/.test(document.querySelector('#toast:not([hidden])')?.textContent ?? '')")
        browser.until("cycles show", "document.querySelectorAll('#gc-cycles rect').length > 1 && /[1-9]/.test(document.querySelector('#gc-facts').textContent)")
    browser.click("document.querySelector('#sampling')")
    browser.until("sampling stops", "document.querySelector('#sampling').textContent === 'Start sampling'")
    browser.click("document.querySelector('#sampling')")
    browser.until("sampling starts", "document.querySelector('#sampling').textContent === 'Stop sampling'")

    # Colours, and narrow windows.
    for width, height in [(1400, 1000), (900, 900), (400, 800)]:
        for scheme in ["light", "dark"]:
            browser.look(width, height, scheme)
            over = browser.js("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, f"{width} px: the page is {over} px too wide"
            back = browser.js("getComputedStyle(document.documentElement).backgroundColor")
            assert (int(back[4:].split(",")[0]) > 128) == (scheme == "light"), back
            if folder:
                browser.js("scrollTo(0, 0)")
                browser.picture(os.path.join(folder, f"{scheme}-{width}.png"))
    print("ok: light and dark, wide and narrow")
    browser.look(1400, 1000, "dark")
    browser.click("document.querySelector('#theme')")
    assert browser.js("document.documentElement.dataset.theme") == "light"
    assert browser.js("getComputedStyle(document.documentElement).backgroundColor") == "rgb(244, 245, 246)"

    foreign = [asked for _, asked in browser.requests if not asked.startswith((url, "data:", "about:"))]
    assert not foreign, f"asked of other hosts: {foreign}"
    posted = {asked[len(url):] for method, asked in browser.requests if method == "POST"}
    assert {"purge", "profile/stop", "profile/start"} <= posted, posted
    # The content security policy blocks a foreign script and a request to another host.
    browser.js("document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.intruder = 1' }))")
    assert browser.js("window.intruder === undefined"), "the policy lets foreign scripts run"
    assert browser.js("fetch('http://127.0.0.2:1/').then(() => 'got', () => 'refused')") == "refused"
    own = [text for text in browser.complaints if "Content Security Policy" not in text]
    assert not own, own
    assert len(browser.complaints) >= 2, browser.complaints


def start(program, environment):
    return subprocess.Popen([program, "127.0.0.1:0", "300"], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


def main():
    program, folder = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    if folder:
        os.makedirs(folder, exist_ok=True)
    executable = next((path for path in map(shutil.which, ["chromium", "chromium-browser", "google-chrome"]) if path), None)
    assert executable, "Chromium is not installed"
    demo = start(program, {})
    browser = None
    try:
        url = demo.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), url
        browser = Browser(executable)
        click_through(browser, url, folder)
        # A second program, with a limit.
        demo.terminate()
        demo.wait()
        browser.until("the page says that the program is gone", "document.querySelector('#state.gone') !== null")
        demo = start(program, {"GREYSPAN_MEMLIMIT": "24MiB"})
        browser.call("Page.navigate", url=demo.stdout.readline().strip())
        browser.until("the limit is drawn", "/limit 24/.test(document.querySelector('#chart')?.textContent ?? '') && document.querySelector('#chart .limit') !== null")
        browser.until("the tile says how close the heap is to the limit", "/% of the limit, 24/.test(document.querySelector('#tiles').textContent)")
        if folder:
            time.sleep(10)
            browser.look(1400, 1000, "light")
            browser.picture(os.path.join(folder, "limit.png"))
    finally:
        if browser:
            browser.close()
        demo.kill()
        demo.wait()
    print("the console behaves")


main()
