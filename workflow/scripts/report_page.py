"""The report: one page that holds everything, opens offline and links the viewer."""

from itertools import product
from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    import pandas as pd

    from patch2loc.files import read_csv, read_json
    from patch2loc.provenance.record import environment
    from patch2loc.report.page import ReportFigure, ScanQuality, write_report
    from patch2loc.tables.domain_shift import transfer_warnings

    given, params = snakemake.input, snakemake.params
    metrics = []
    rows = product(params.methods, params.evaluated, params.folds)
    for path, (method, dataset, fold) in zip(given.metrics, rows, strict=True):
        metrics.append(read_csv(path).assign(method=method, dataset=dataset, fold=str(fold)))
    figures = [
        ReportFigure(
            Path(path).stem.replace("fig", "Figure ").replace("_", " "),
            Path(caption).read_text(encoding="utf-8").strip(),
            Path(path),
            main=Path(path).stem in params.main_figures,
        )
        for path, caption in zip(given.figures, given.captions, strict=True)
    ]
    more_figures = [
        ReportFigure(
            Path(path).stem.capitalize(), Path(caption).read_text(encoding="utf-8").strip(), Path(path)
        )
        for path, caption in zip(given.more_figures, given.more_captions, strict=True)
    ]
    curves = [
        ReportFigure(
            Path(path).stem.replace("_", " "), "Loss on training and validation patches.", Path(path)
        )
        for path in given.curves
    ]
    preprocessed = Path(params.preprocessed)
    quality = [
        ScanQuality(
            row.dataset,
            row.subject,
            preprocessed / row.dataset / row.subject / "qc.png",
            row.flags,
            bool(row.left_out),
        )
        for row in read_csv(given.quality[0]).itertuples()
    ]
    write_report(
        snakemake.output[0],
        "Patch2Loc",
        [Path(path).read_text(encoding="utf-8") for path in given.tables],
        pd.concat(metrics, ignore_index=True),
        figures,
        curves,
        quality,
        {"protocol": params.protocol, "seed": params.configuration["seed"]},
        [{"name": name, **about} for name, about in params.datasets.items()],
        {
            "environment": environment(),
            "configuration": params.configuration,
            **{Path(path).name: read_json(path)["code"] for path in given.provenance},
        },
        given.viewer[0],
        more_figures,
        transfer_warnings(read_csv(given.domain_shift), params.datasets),
    )
