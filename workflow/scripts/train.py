"""Fit one model."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.configuration import method_registry
    from patch2loc.configuration.method_settings import complete
    from patch2loc.data.scans import read_cohort
    from patch2loc.train import fit_model

    params, given, wildcards = snakemake.params, snakemake.input, snakemake.wildcards
    where, precision = method_registry.for_method(
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
        {**complete(wildcards.method, params.settings), **numbers},
        {"modality": wildcards.modality, "fold": fold, **params.preprocessing},
        params.code,
        where,
        snakemake.output.model,
        snakemake.output.history,
        snakemake.threads,
        dict(zip(params.published, given.pretrained, strict=True)),
        params.published,
        dict(zip(params.needed, given.models, strict=True)),
    )
