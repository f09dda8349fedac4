"""A page of another origin, in a headless Chromium, tries to read a running viewer."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from browser import chromium

from patch2loc.report.viewer import server as viewer_server
from patch2loc.report.viewer.folder import read_index

# Every address by each way in which a page can load something of another origin.
PAGE = """<body><script>
const read = [], patch2loc = {index: () => read.push("index"), scan: () => read.push("scan")};
let open = 0;
for (const address of ADDRESSES) {
  for (const kind of ["script", "iframe", "img", "embed"]) {
    const element = document.createElement(kind);
    element.src = address;
    element.onload = element.onerror = () => open--;
    open++;
    document.body.append(element);
  }
  for (const mode of ["cors", "no-cors"]) {
    open++;
    fetch(address, {mode}).then(answer => answer.text())
      .then(text => text && read.push("text"), () => {}).finally(() => open--);
  }
}
</script></body>"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(params=["127.0.0.1", "127.0.0.2"], ids=["another port", "another site"])
def elsewhere(request, tmp_path):
    """A folder that a server of another origin serves, and its address."""
    with ThreadingHTTPServer((request.param, 0), partial(Quiet, directory=tmp_path)) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        yield tmp_path, f"http://{request.param}:{other.server_port}"
        other.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize("protected", [True, False])
def test_a_page_of_another_origin_reads_nothing(
    browser, scored_run, server, elsewhere, monkeypatch, protected
):
    """Without the protection the same page reads the names of all subjects and a scan."""
    statuses = []
    send_response = viewer_server._Handler.send_response

    def recorded(handler, status, *message):
        statuses.append(int(status))
        send_response(handler, status, *message)

    monkeypatch.setattr(viewer_server._Handler, "send_response", recorded)
    if not protected:
        monkeypatch.setattr(viewer_server._Handler, "_allowed", lambda _: True)
        monkeypatch.setattr(viewer_server, "PRIVATE", {})
    scan = next(scan for scan in read_index(scored_run / "report")["scans"] if scan["written"])
    names = ["index.js", f"scans/{scan['dataset']}/{scan['subject']}.js", "viewer.html", "report.html"]
    addresses = [f"http://127.0.0.1:{server.server_port}/report/{name}" for name in names]
    folder, address = elsewhere
    (folder / "page.html").write_text(PAGE.replace("ADDRESSES", json.dumps(addresses)))
    browser.open(f"{address}/page.html")
    browser.wait_for("open === 0")
    read = set(browser.evaluate("read"))
    assert len(statuses) >= 4 * len(names)
    if protected:
        assert read == set()
        assert set(statuses) == {403}
    else:
        assert {"index", "scan"} <= read
