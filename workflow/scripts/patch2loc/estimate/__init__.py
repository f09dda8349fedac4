"""What a run costs, before it begins: the jobs of its plan times rates."""
