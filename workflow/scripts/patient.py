"""Answer about one scan without truth, by the run's own detector: what `patch2loc detect` writes of it."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.engine.device import select_device, select_precision
    from patch2loc.errors import InputError, ResourceError
    from patch2loc.files import write_json
    from patch2loc.own_scan import detect_scan, load_detector
    from patch2loc.tables.patients import LEFT_OUT, SUMMARY

    inputs, params, folder = snakemake.input, snakemake.params, snakemake.output[0]
    device = select_device(params.device, snakemake.threads)
    detector = load_detector(
        inputs.detector,
        device,
        precision=select_precision(params.precision, device),
        atlas=params.atlas,
        method=params.method,
    )
    try:
        detect_scan(
            detector,
            inputs.scan,
            folder,
            mask_path=inputs.brain if params.skull_strip == "given" else None,
            skull_strip=params.skull_strip,
            age=params.age,
        )
    except ResourceError:
        raise  # nothing is wrong with the scan: the job fails, and is tried again with more memory
    except InputError as error:
        # One bad scan must not stop the others: it has a row that says why.
        write_json(Path(folder, SUMMARY), {"scan": str(inputs.scan), LEFT_OUT: str(error)})
        print(f"left out: {error}")
