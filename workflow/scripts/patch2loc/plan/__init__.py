"""What a run computes: its plan, the files that each stage takes, its tables and figures, its list of jobs."""
