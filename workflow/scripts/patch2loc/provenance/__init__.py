"""Provenance of files: hash of the code, record beside a file, trace, and the RO-Crate of a run."""
