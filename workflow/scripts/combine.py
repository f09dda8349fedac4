"""Combine the heatmaps that several methods made of one dataset."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.calibration import Heatmaps, HeldOutHeatmaps
    from patch2loc.combination import combine_folders
    from patch2loc.method_names import is_calibrated, subfolder

    given, params = snakemake.input, snakemake.params
    calibrations = iter(given.calibrations)

    def part(name, folder):
        """The heatmaps of a row; without a calibration for it, the scans are those that it would be made of."""
        if not is_calibrated(name):
            return Heatmaps(folder / subfolder(name))
        calibration = next(calibrations, None)
        return Heatmaps(folder, Path(calibration)) if calibration else HeldOutHeatmaps(folder, params.spacing)

    folders = [Path(folder) for folder in given.heatmaps]
    parts = [part(*named) for named in zip(params.of, folders, strict=True)]
    combine_folders(parts, folders, params.by, snakemake.output[0])
