"""Convert one DICOM series."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire.dicom import convert_folder

    convert_folder(snakemake.input.series, snakemake.output[0])
