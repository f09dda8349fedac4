"""Server of results' pages, for this machine alone; files of scans that a report did not write are made on request."""

import sys
import webbrowser
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from patch2loc.data.results import Results
from patch2loc.data.scans import Scan
from patch2loc.errors import InputError
from patch2loc.process import for_terminal
from patch2loc.provenance.trace import SUMMARY
from patch2loc.report.viewer import INDEX_OF_SCANS, PAGE_OF_SCAN
from patch2loc.report.viewer.folder import INDEX, ViewerEntry, ViewerIndex, file_of, read_index
from patch2loc.report.viewer.scan_file import read_heatmaps, scan_file
from patch2loc.score.stored_heatmaps import heatmaps_of

ADDRESS = "127.0.0.1"
VIEWER = "report"


def serve(folder: str | Path, port: int = 8642, open_browser: bool = True) -> None:
    """Serve the pages of results to this machine until interrupted, and print the address.

    Args:
        folder: Results of a run, or the folder that `detect` wrote, of one scan or several, or the page in it.
        port: of this machine; 0 takes a free one.
        open_browser: open the page in the default browser.

    Raises:
        InputError: there is no page, or the port is taken.
    """
    with server_of(folder, port) as server:
        address = f"http://{ADDRESS}:{server.server_port}/"
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if open_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def server_of(folder: str | Path, port: int) -> ThreadingHTTPServer:
    """Server of results, bound to the loopback address; arguments and errors as `serve`."""
    results = Path(folder).parent if Path(folder).is_file() else Path(folder)
    site = _site_of(results)
    try:
        return _Server((ADDRESS, port), partial(_Handler, directory=str(results), site=site))
    except OSError as error:
        raise InputError(
            f"port {port}: cannot be served on ({error}); give another one, or 0 for a free one"
        ) from error


class _Site(NamedTuple):
    """What is served of a folder.

    Attributes:
        start: Path of the page at /.
        is_served: True for the path of a file that may be asked for.
        make_file: Content of a scan's file by its path, of those that the report did not write; None for any other.
    """

    start: str
    is_served: Callable[[str], bool]
    make_file: Callable[[str], bytes | None]


def _site_of(folder: Path) -> _Site:
    """The report and the viewer of a run, else the pages that `detect` wrote, and nothing else of a folder.

    Raises:
        InputError: there is no page.
    """
    if not (folder / VIEWER / INDEX).is_file():
        # Of one scan, which has a summary, the page; of several their index.
        names = (
            (PAGE_OF_SCAN, INDEX_OF_SCANS) if (folder / SUMMARY).is_file() else (INDEX_OF_SCANS, PAGE_OF_SCAN)
        )
        start = next((name for name in names if (folder / name).is_file()), None)
        if start is None:
            raise InputError(
                f"{folder}: no page found, the results of a run with its report (target report_page) or of "
                "`patch2loc detect` expected; make one of them first"
            )
        return _Site(start, lambda path: Path(path).suffix in (".html", ".png"), lambda path: None)
    index = read_index(folder / VIEWER)
    entries = {f"{VIEWER}/{file_of(scan['dataset'], scan['subject'])}": scan for scan in index["scans"]}
    return _Site(
        start="report.html" if (folder / "report.html").is_file() else f"{VIEWER}/viewer.html",
        is_served=lambda path: path == "report.html" or path.startswith(f"{VIEWER}/"),
        make_file=lambda path: _scan_file(folder, index, entries[path]).encode() if path in entries else None,
    )


def _scan_file(results: Path, index: ViewerIndex, entry: ViewerEntry) -> str:
    """File of a scan, from its volumes among the results."""
    dataset, subject = entry["dataset"], entry["subject"]
    scan = Scan(subject, Path(Results(str(results)).preprocessed(dataset, subject)), entry["modality"])
    heatmaps = {
        method: heatmaps_of(results, method, dataset, entry["modality"], fold=index["fold"])
        for method in index["methods"]
    }
    truth = index["truth"] if entry["role"] == "lesion" else None
    return scan_file(scan, dataset, read_heatmaps(heatmaps, subject), truth)


# What keeps pages of other sites from reading scans in browsers that name no site in their requests.
PRIVATE = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error, but for that of a browser that hangs up, as it does with a page that is left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    """Answers for the pages of results, and for nothing else of their folder."""

    server: ThreadingHTTPServer

    def __init__(self, *arguments: Any, directory: str, site: _Site) -> None:
        """Answer one request.

        Args:
            arguments: of the server: request, address of the client, server.
            directory: folder of the results.
            site: What is served of it.
        """
        self.site = site
        super().__init__(*arguments, directory=directory)  # which answers

    def do_GET(self) -> None:
        """Answer a request."""
        if not self._allowed():
            return
        path = self._path()
        if path.startswith(f"{VIEWER}/scans/") and not Path(self.directory, path).is_file():
            self._send_scan_file(path)
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        """Answer a request for headers."""
        if self._allowed():
            super().do_HEAD()

    def send_head(self) -> Any:
        """Send the headers of a file; the file, open, or None after an error."""
        try:
            return super().send_head()
        except ValueError:  # a path that no file can have, with a zero byte or half a character
            self.send_error(HTTPStatus.NOT_FOUND)
            return None

    def end_headers(self) -> None:
        """Send headers: no caching, so that a repeated run shows at once; nothing for pages of other sites."""
        self.send_header("Cache-Control", "no-store")
        for name, value in PRIVATE.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing about single requests."""

    def _path(self) -> str:
        return unquote(self.path.partition("?")[0].partition("#")[0]).lstrip("/")

    def _allowed(self) -> bool:
        """True for a request that may be answered; any other is answered here, with an error.

        The Host header has to name this machine: otherwise a web page whose name was pointed at this address
        (DNS rebinding) could read the scans.  A page of another site may link to these pages, but not load them or
        their scans into itself: browsers name the site that asks in Sec-Fetch-Site.
        """
        host = self.headers.get("Host", "")
        if host not in {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}:
            self.send_error(HTTPStatus.FORBIDDEN, "only names of this machine are answered")
            return False
        own = self.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")
        if not own and self.headers.get("Sec-Fetch-Dest") != "document":
            self.send_error(HTTPStatus.FORBIDDEN, "only pages of this server may load its files")
            return False
        path = self._path()
        if not path:
            self.path = f"/{self.site.start}"
        elif path[-1] == "/" or ".." in path or not self.site.is_served(path):
            self.send_error(HTTPStatus.NOT_FOUND)
            return False
        return True

    def _send_scan_file(self, path: str) -> None:
        try:
            content = self.site.make_file(path)
        except InputError as error:
            print(f"patch2loc: {for_terminal(str(error))}", flush=True)
            content = None
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/javascript; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
