"""Figure of cost: AUPRC against the time of training and scoring, every method and lesion dataset."""

from itertools import product

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.configuration.method_names import base_method
    from patch2loc.data.labels import label_of
    from patch2loc.figures.cost import cost_figure, cost_table, devices_line, training_seconds
    from patch2loc.figures.style import save_figure
    from patch2loc.provenance.record import read_provenance, sidecar
    from patch2loc.tables.inputs import read_folds

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    folds = len(params.folds)
    metrics = read_folds(inputs.metrics, product(params.methods, params.datasets), folds)
    trained_methods = list(dict.fromkeys(map(base_method, params.methods)))
    models = list(product(trained_methods, params.modalities))
    records = read_folds(inputs.models, models, folds, lambda path: read_provenance(sidecar(path)))
    histories = read_folds(inputs.histories, models, folds)
    seconds = {
        model: [training_seconds(*fold) for fold in zip(records[model], histories[model], strict=True)]
        for model in models
    }
    rows = [
        (
            label_of(info),
            cost_table(
                {method: metrics[method, name] for method in params.methods},
                {method: seconds[method, info["modality"]] for method in trained_methods},
                params.seed,
            ),
        )
        for name, info in params.datasets.items()
    ]
    devices = {method: records[method, modality][0]["device"] for method, modality in models}
    save_figure(cost_figure(rows, params.methods, devices_line(devices)), [output.png, output.pdf])
