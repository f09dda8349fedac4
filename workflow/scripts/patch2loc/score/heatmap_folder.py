"""Names in a folder of heatmaps, beside {subject}.nii.gz; a module of its own, because it decides nothing."""

TIMES = "seconds.csv"  # one row per scan: subject, seconds, device, precision
AS_PUBLISHED = "as_published"  # folder of the heatmaps with the post-processing of the method's authors
