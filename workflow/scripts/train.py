"""Fit one model."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.configuration.method_device import device_and_precision
    from patch2loc.configuration.method_settings import resolve_settings
    from patch2loc.data.scans import read_cohort
    from patch2loc.train import fit_model

    params, given, wildcards = snakemake.params, snakemake.input, snakemake.wildcards
    device, precision = device_and_precision(
        wildcards.method, params.device, params.precision, snakemake.threads
    )
    fold = int(wildcards.fold)
    numbers = {
        "patch": params.patch,
        "seed": params.seed + fold,  # so that folds differ by more than their scans
        "precision": precision,
        "spacing": params.spacing,
    }
    fit_model(
        wildcards.method,
        read_cohort(given.training),
        read_cohort(given.validation),
        given.landmarks,
        {**resolve_settings(wildcards.method, params.settings), **numbers},
        {"modality": wildcards.modality, "fold": fold, **params.preprocessing},
        params.code,
        device,
        snakemake.output.model,
        snakemake.output.history,
        snakemake.threads,
        dict(zip(params.published, given.pretrained, strict=True)),
        params.published,
        dict(zip(params.needed, given.models, strict=True)),
    )
