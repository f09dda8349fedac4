"""What made a file: code, record, trace, and the RO-Crate of a run."""
