"""The viewer: scored scans in three planes in a browser, from a folder or served to this machine alone."""

from patch2loc.viewer.server import serve

__all__ = ["serve"]
