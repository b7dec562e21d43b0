#!/usr/bin/env python3
"""Opens reports in a real browser and fails on what a reader would stumble over.

    apt-get install chromium
    tools/browser-check.py results/order/report.html results/index.html
    tools/browser-check.py --screenshots /tmp/shots results/order/report.html

Each page is opened at 390 and at 1440 pixels, light and dark. It fails on: a script error, anything that the page
tries to load, horizontal scrolling of the page, and a table of runs that does not filter or sort.
"""
import argparse
import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

WIDTHS = (390, 1440)

# Runs inside the page, before its own script, and tells the frame around it what it saw.
PROBE = """
<script>
const errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => errors.push("would load " + event.blockedURI));
addEventListener("load", () => {
  const root = document.documentElement;
  const table = document.querySelector("table.runs");
  const rows = table ? [...table.tBodies[0].rows] : [];
  let sorted = true, filtered = true;
  if (rows.length > 1) {
    const texts = () => [...table.tBodies[0].rows].map((row) => row.textContent).join();
    const buttons = table.tHead.querySelectorAll("button");
    const before = texts();
    sorted = [...buttons].some((button) => { button.click(); button.click(); return texts() !== before; });
    const search = document.querySelector(".filters input");
    search.value = "no run contains this";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    filtered = rows.every((row) => row.hidden);
    search.value = "";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    filtered = filtered && rows.every((row) => !row.hidden);
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const paper = getComputedStyle(root).backgroundColor;
  parent.postMessage({ width: innerWidth, scroll: root.scrollWidth, errors, sorted, filtered, dark, paper,
    loaded: performance.getEntriesByType("resource").map((entry) => entry.name) }, "*");
});
</script>
"""

HARNESS = """<!doctype html><title>waiting</title><pre id="seen"></pre>
<script>
const seen = [];
addEventListener("message", (event) => {
  seen.push(event.data);
  document.getElementById("seen").textContent = JSON.stringify(seen);
});
</script>
%s
"""


def chromium(*arguments):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        sys.exit("no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        quiet += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        quiet += ["--hide-scrollbars", f"--user-data-dir={profile}"]
        done = subprocess.run([program, *quiet, *arguments], capture_output=True, text=True, timeout=120)
    return done.stdout


def scheme(dark):
    return "--blink-settings=preferredColorScheme=" + ("0" if dark else "1")


def check(page, dark):
    """Complaints about a page."""
    text = page.read_text()
    probed = re.sub(r"<head>", lambda head: head.group(0) + PROBE, text, count=1)
    with tempfile.TemporaryDirectory() as folder:
        # Beside the original, so that pictures of an index are found.
        copy = page.parent / f".{page.stem}-probed.html"
        harness = pathlib.Path(folder) / "harness.html"
        frames = "".join(
            f'<iframe width="{width}" height="900" style="border:0" src="{html.escape(copy.resolve().as_uri())}"></iframe>'
            for width in WIDTHS
        )
        harness.write_text(HARNESS % frames)
        try:
            copy.write_text(probed)
            arguments = [scheme(dark), "--window-size=2000,2000", "--virtual-time-budget=5000", "--dump-dom"]
            dom = chromium(*arguments, harness.as_uri())
        finally:
            copy.unlink(missing_ok=True)
    found = re.search(r'<pre id="seen">(.*?)</pre>', dom, re.S)
    seen = json.loads(html.unescape(found.group(1)) or "[]") if found else []
    complaints = []
    if sorted(frame["width"] for frame in seen) != sorted(WIDTHS):
        complaints.append(f"only these widths came to an end: {[frame['width'] for frame in seen]}")
    for frame in seen:
        at = f"at {frame['width']} pixels"
        complaints += [f"{at}: {error}" for error in frame["errors"]]
        if frame["scroll"] > frame["width"]:
            complaints.append(f"{at}: scrolls sideways, {frame['scroll']} pixels wide")
        loaded = [name for name in frame["loaded"] if not name.startswith(("data:", "file:"))]
        if loaded:
            complaints.append(f"{at}: loads {loaded}")
        if not frame["sorted"]:
            complaints.append(f"{at}: the table of runs does not sort")
        if not frame["filtered"]:
            complaints.append(f"{at}: the table of runs does not filter")
        if frame["dark"] != dark or (frame["paper"] == "rgb(255, 255, 255)") == dark:
            complaints.append(f"{at}: paper is {frame['paper']} on a {'dark' if dark else 'light'} screen")
    return complaints


def screenshot(page, folder, width, dark, height):
    """A picture of a page; narrower than a window can be, it is taken through a frame."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{page.parent.name}-{page.stem}-{width}-{'dark' if dark else 'light'}.png"
    with tempfile.TemporaryDirectory() as temporary:
        harness = pathlib.Path(temporary) / "harness.html"
        frame = f'<iframe width="{width}" height="{height}" style="border:0;display:block" src="{page.resolve().as_uri()}">'
        harness.write_text(f'<!doctype html><body style="margin:0">{frame}')
        window = f"--window-size={max(width, 500)},{height}"
        chromium(scheme(dark), window, f"--screenshot={folder / name}", harness.as_uri())
    print(folder / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="DIR", help="take pictures instead")
    parser.add_argument("--height", type=int, default=5000, help="of a picture, in pixels")
    arguments = parser.parse_args()
    complaints = []
    for page in arguments.pages:
        for dark in (False, True):
            if arguments.screenshots:
                for width in WIDTHS:
                    screenshot(page, arguments.screenshots, width, dark, arguments.height)
            else:
                complaints += [f"{page} {complaint}" for complaint in check(page, dark)]
    for complaint in complaints:
        print(complaint)
    sys.exit(1 if complaints else 0)


main()
