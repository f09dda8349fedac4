"""The report: its page, and the viewer of scored scans."""
