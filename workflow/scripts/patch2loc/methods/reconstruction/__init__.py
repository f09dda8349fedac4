"""Shared parts of methods that reconstruct slices: pools of slices, training, residuals, networks."""
