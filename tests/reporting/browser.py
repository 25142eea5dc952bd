"""A page in a real browser: Chromium draws it, runs a script in it, and hands back what the script found."""

import base64
import json
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Packages that carry axe-core, the newest axe first.
_AXE = ("axe_playwright_python", "axe_core_python")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=600000",
)  # fmt: skip
_FOUND = re.compile(r'<pre id="found-by-the-test">([^<]*)</pre>')
# Chromium has no window narrower than 500 px: the page lies in a frame of the wanted width, which also says whether
# it prefers dark colours.
_FRAME = """<!DOCTYPE html><meta charset="utf-8"><body><script>
const given = %s;
const frame = document.createElement("iframe");
frame.style = `width: ${given.width}px; height: 900px; border: 0; color-scheme: ${given.scheme}`;
frame.srcdoc = given.page;
frame.onload = async () => {
  let found;
  try {
    const run = frame.contentWindow.eval(`(async () => { ${given.script} })`);
    found = { value: await run() };
  } catch (error) {
    found = { error: String(error) };
  }
  const out = document.createElement("pre");
  out.id = "found-by-the-test";
  out.textContent = btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(found))));
  document.body.append(out);
};
document.body.append(frame);
</script></body>"""


def chromium():
    """The browser's path; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    return found or pytest.skip("no Chromium here: apt-get install chromium")


def axe():
    """axe-core's script; skips the test where no package carries it."""
    found = next((spec for name in _AXE if (spec := find_spec(name)) is not None), None)
    if found is None or found.origin is None:
        pytest.skip("no axe-core here: pip install axe-core-python")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def in_browser(page, script, folder, width=1400, scheme="light"):
    """What `script` returns that runs in the loaded page; `folder` takes the browser's files.

    Raises:
        AssertionError: the script failed, or the browser never came to its end.
    """
    given = {"page": page, "script": script, "width": width, "scheme": scheme}
    file = folder / "frame.html"
    file.write_text(_FRAME % json.dumps(given).replace("</", "<\\/"), encoding="utf-8")
    command = [chromium(), *_FLAGS, f"--user-data-dir={folder / 'browser'}", "--window-size=1500,1000", "--dump-dom"]
    done = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, timeout=300, check=False)
    told = _FOUND.search(done.stdout)
    assert told is not None, f"the browser told nothing: {done.stderr[-2000:]}"
    found = json.loads(base64.b64decode(told[1]))
    assert "error" not in found, found["error"]
    return found["value"]
