"""Volumes, scans, lists of subjects and the paths of results: what every stage reads."""
