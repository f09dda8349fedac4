"""Fit one model."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.configuration.method_device import device_and_precision
    from patch2loc.data.scans import read_cohort
    from patch2loc.method_interface import method_of
    from patch2loc.train import FitJob, PretrainedWeights, drawn_subset, fit_model, write_model

    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    method = method_of(snakemake.wildcards.method)
    device, precision = device_and_precision(method, params.device, params.precision, snakemake.threads)
    run_numbers = {
        "patch": params.patch,
        "seed": params.seed,
        "precision": precision,
        "spacing": params.spacing,
    }
    job = FitJob(
        method=method,
        modality=snakemake.wildcards.modality,
        fold=params.fold,
        settings={**params.settings, **run_numbers},
        preprocessing=params.preprocessing,
        code=params.code,
        device=device,
        orientation=params.orientation,
    )
    fitted = fit_model(
        job,
        training=drawn_subset(read_cohort(inputs.training), **params.subset),
        validation=read_cohort(inputs.validation),
        landmarks_path=inputs.landmarks,
        checkpoint_folder=Path(outputs.model).parent,
        sites=params.sites,
        weights={
            name: PretrainedWeights(path, params.published[name])
            for name, path in zip(params.published, inputs.pretrained, strict=True)
        },
        needed_models=dict(zip(params.needed, inputs.models, strict=True)),
        threads=snakemake.threads,
    )
    write_model(fitted, outputs.model, outputs.history)
