"""Ablations: each variant against its method, table and figure."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.figures.ablations import ablation_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.provenance.record import describe, read_provenance, sidecar, write_sidecar
    from patch2loc.tables.ablations import ablation_layout, ablation_table, joined, training_of
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.inputs import read_folds, subjects_in

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    count = len(params.folds)
    metrics = read_folds(inputs.metrics, product(params.rows, params.datasets), count)
    models = list(product(params.trained, params.modalities))
    histories = read_folds(inputs.histories, models, count)
    records = read_folds(inputs.models, models, count, lambda path: read_provenance(sidecar(path)))
    trainings = {
        model: [training_of(*each) for each in zip(histories[model], records[model], strict=True)]
        for model in models
    }
    for name, parts in params.combinations.items():
        for modality in params.modalities:
            together = zip(*(trainings[part, modality] for part in parts), strict=True)
            trainings[name, modality] = [joined(each) for each in together]
    table = ablation_table(metrics, params.rows, trainings, params.datasets, params.seed)
    layout = ablation_layout(table, params.datasets, params.protocol)
    write_table(table, layout, csv=output.csv, markdown=output.markdown, latex=output.latex, html=output.html)
    save_figure(ablation_figure(table, params.datasets), [output.png, output.pdf])
    configuration = {"seed": params.seed, "folds": params.folds, "protocol": params.protocol}
    write_sidecar(output.csv, describe(params.code, snakemake.input, configuration, subjects_in(metrics)))
