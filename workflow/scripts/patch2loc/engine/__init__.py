"""Device, GPUs and their memory, precision, training loop and weights, which every network needs."""
