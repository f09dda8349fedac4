"""What planning checks and knows, without torch: configuration, datasets, methods, combinations."""
