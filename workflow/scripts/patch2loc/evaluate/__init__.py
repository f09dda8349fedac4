"""Stage evaluate: metrics of each subject, rows of each patch."""
