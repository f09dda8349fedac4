"""Paint a simulated stroke into a real healthy scan, where registration of the atlas puts it."""

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire.painted import paint_stroke
    from patch2loc.data import volumes
    from patch2loc.preprocess.atlas import load_atlas
    from patch2loc.preprocess.images import one_thread
    from patch2loc.preprocess.register import matrix, register

    scan_path, brain_path, mask_path = snakemake.input
    outputs = {part: snakemake.output[part] for part in ("scan", "brain", "lesion")}
    with one_thread():
        volume, affine = volumes.read(scan_path)
        transform, _ = register(
            volume, volumes.read_mask(brain_path, volume), affine, load_atlas("icbm152", "T1")
        )
    print(
        paint_stroke(
            scan_path, brain_path, mask_path, matrix(transform), outputs=outputs, **snakemake.params.pair
        )
    )
