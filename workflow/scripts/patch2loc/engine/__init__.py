"""What every network needs: device, precision, training loop, weights."""
