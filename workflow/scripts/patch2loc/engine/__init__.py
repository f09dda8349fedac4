"""Device, precision, training loop and weights, which every network needs."""
