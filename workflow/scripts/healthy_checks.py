"""Healthy checks: predicted variances, sides and the brain's edge in healthy test scans, table and figure."""

from itertools import product

import pandas as pd

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.midsagittal import midline_location
    from patch2loc.figures.healthy_checks import healthy_checks_figure
    from patch2loc.figures.style import save_figure
    from patch2loc.preprocess.atlas import common_grid, load_atlas
    from patch2loc.provenance.record import describe, write_sidecar
    from patch2loc.tables.formats import write_table
    from patch2loc.tables.healthy_checks import healthy_checks_layout, healthy_checks_table
    from patch2loc.tables.inputs import read_folds, subjects_in

    params, output = snakemake.params, snakemake.output
    atlas = load_atlas(params.atlas, "T1")  # in the same space as that of T2
    grid = common_grid(atlas, params.grid["shape"], params.grid["spacing"])
    # A grid around each brain has its middle where that of the brain's box is.
    midline = midline_location(atlas.image, atlas.affine, grid) if params.crop == "atlas" else 50.0
    patches = read_folds(
        snakemake.input, product(params.methods, params.datasets), len(params.folds), pd.read_parquet
    )
    table = healthy_checks_table(patches, params.datasets, grid.shape, midline=midline, seed=params.seed)
    write_table(
        table,
        healthy_checks_layout(table, params.datasets, midline),
        csv=output.csv,
        markdown=output.markdown,
        latex=output.latex,
        html=output.html,
    )
    save_figure(healthy_checks_figure(table, params.datasets, params.all_methods), [output.png, output.pdf])
    configuration = {"seed": params.seed, "folds": params.folds, "atlas": params.atlas, "midline": midline}
    write_sidecar(output.csv, describe(params.code, snakemake.input, configuration, subjects_in(patches)))
