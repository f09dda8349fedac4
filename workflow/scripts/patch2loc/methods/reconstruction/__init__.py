"""What methods share that reconstruct slices: pools of slices, training, residuals, networks."""
