"""From raw scans to the common grid: skull strip, registration, one resampling, bias, quality control."""
