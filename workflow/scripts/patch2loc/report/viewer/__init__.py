"""The viewer: scored scans in three planes in a browser, from a folder or served to this machine alone."""

PAGE = ("viewer.html", "viewer.css", "volumes.js", "slices.js", "viewer.js")
PAGE_OF_SCAN, INDEX_OF_SCANS = "report.html", "index.html"  # of `detect`
