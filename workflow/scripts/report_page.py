"""Report: one self-contained page, with links to the viewer."""

from itertools import product
from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.files import read_csv
    from patch2loc.provenance.record import environment, read_provenance
    from patch2loc.report.page import ReportFigure, ScanQuality, write_report
    from patch2loc.tables.domain_shift import domain_shift_warnings

    inputs, params = snakemake.input, snakemake.params
    metrics = []
    rows = product(params.methods, params.evaluated, params.folds)
    for path, (method, dataset, fold) in zip(inputs.metrics, rows, strict=True):
        metrics.append(read_csv(path).assign(method=method, dataset=dataset, fold=str(fold)))
    figures = [
        ReportFigure(
            Path(path).stem.replace("fig", "Figure ").replace("_", " "),
            Path(caption).read_text(encoding="utf-8").strip(),
            Path(path),
            main=Path(path).stem in params.main_figures,
        )
        for path, caption in zip(inputs.figures, inputs.captions, strict=True)
    ]
    more_figures = [
        ReportFigure(
            Path(path).stem.capitalize().replace("_", " "),
            Path(caption).read_text(encoding="utf-8").strip(),
            Path(path),
        )
        for path, caption in zip(inputs.more_figures, inputs.more_captions, strict=True)
    ]
    learning_curves = [
        ReportFigure(
            Path(path).stem.replace("_", " "), "Loss on training and validation patches.", Path(path)
        )
        for path in inputs.curves
    ]
    preprocessed = Path(params.preprocessed)
    quality = [
        ScanQuality(
            row.dataset,
            row.subject,
            preprocessed / row.dataset / row.subject / "qc.png",
            row.flags,
            left_out=bool(row.left_out),
        )
        for row in read_csv(inputs.quality[0]).itertuples()
    ]
    write_report(
        snakemake.output[0],
        title="Patch2Loc",
        tables=[Path(path).read_text(encoding="utf-8") for path in inputs.tables],
        metrics=pd.concat(metrics, ignore_index=True),
        figures=figures,
        learning_curves=learning_curves,
        quality=quality,
        run={"protocol": params.protocol, "seed": params.configuration["seed"]},
        datasets=[{"name": name, **info} for name, info in params.datasets.items()],
        provenance={
            "environment": environment(),
            "configuration": params.configuration,
            **{Path(path).name: read_provenance(path)["code"] for path in inputs.provenance},
        },
        viewer=inputs.viewer[0],
        more_figures=more_figures,
        warnings=domain_shift_warnings(read_csv(inputs.domain_shift), params.datasets),
    )
