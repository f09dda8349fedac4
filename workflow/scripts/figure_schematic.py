"""Figure 1: the first healthy test scan, and the scan with lesions of median AUPRC, as in Figure 4."""

from pathlib import Path

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.data.labels import label_of
    from patch2loc.data.scans import Scan, read_cohort
    from patch2loc.data.volumes import read_mask
    from patch2loc.engine import device
    from patch2loc.figures.schematic import schematic_figure
    from patch2loc.figures.schematic_examples import inference_example, training_example
    from patch2loc.figures.slices import median_subject
    from patch2loc.figures.style import save_figure
    from patch2loc.files import read_csv
    from patch2loc.methods.patch2loc import location_network
    from patch2loc.models import load_model
    from patch2loc.network.inference import DenseNetwork
    from patch2loc.standardize import read_standardized

    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    model = load_model(inputs.model, method="patch2loc")
    cpu = device.select_device("cpu", snakemake.threads)  # two slices: not worth a GPU
    network = DenseNetwork(location_network(model["state"]), model["state"]["patch"], cpu)
    labels = {name: label_of(info) for name, info in (("healthy", params.healthy), ("lesion", params.lesion))}
    healthy = read_cohort(inputs.healthy)[0]
    training = training_example(
        f"{labels['healthy']}, {healthy.subject}", *read_standardized(healthy, model["landmarks"]), network
    )
    subject = median_subject(read_csv(inputs.metrics[0]))
    scan = Scan(subject, Path(params.preprocessed, subject), model["modality"])
    inference = inference_example(
        f"{labels['lesion']}, {subject}",
        *read_standardized(scan, model["landmarks"]),
        read_mask(scan.truth_path(params.truth)),
        network=network,
        stride=params.stride,
    )
    figure = schematic_figure(training, inference, model["grid"]["spacing"], params.color_map)
    save_figure(figure, [output.png, output.pdf])
