"""Stage score: heatmaps of scans, their post-processing, calibration and combination."""
