# Data: download open data, unpack archives, say where to ask for the rest; simulate and convert scans.  All other
# scans are read where they are.
from patch2loc.acquire import registry
from patch2loc.acquire import unpack as unpackers
from patch2loc.configuration.prerequisites import WEIGHTS

SIMULATED_MODALITIES = dataset_groups.simulated_modalities(PLAN)


localrules:
    data,
    pretrained,
    download,
    fetch_scans,


rule data:
    """The paper's scans: downloads what is open, unpacks, and says where to ask for the rest."""
    input:
        by_wildcards(obtainable_data),
        PLAN.data.places_to_fetch,
    log:
        registry.log(config["data"], "data"),
    conda:
        IMAGING
    params:
        datasets=PLAN.data.sources,
    script:
        "../workflow/scripts/data.py"


rule pretrained:
    """Weights from elsewhere that the methods of the configuration can use."""
    input:
        [
            str(registry.downloads(config["data"], name) / unpackers.MANIFEST)
            for name in PLAN.data.usable_weights(METHODS)
        ],


rule download:
    input:
        by_wildcards(PLAN.data.archives_put_by_hand, "registry_name"),
    output:
        f"{config['data']}/downloads/{{registry_name}}/{unpackers.MANIFEST}",
    log:
        registry.log(config["data"], "download/{registry_name}"),
    wildcard_constraints:
        registry_name=any_of([*unpackers.NAMES, *WEIGHTS]),
    conda:
        IMAGING
    params:
        rows=by_wildcards(PLAN.data.downloads, "registry_name"),
        target=str(Path(config["data"], "{registry_name}")),
        datasets=by_wildcards(PLAN.data.readers, "registry_name"),
    script:
        "../workflow/scripts/download.py"


# Its outputs are the scans that are not there: one that is in its place is nobody's output, and stays as it is.
rule fetch_scans:
    """The public scans that are not there yet, one by one."""
    output:
        PLAN.data.places_to_fetch,
    log:
        registry.log(config["data"], "fetch_scans"),
    conda:
        IMAGING
    params:
        scans=list(PLAN.data.scans_to_fetch.values()),
        data=config["data"],
        sources=PLAN.data.sources_of_scans,
    script:
        "../workflow/scripts/fetch_scans.py"


# No hash of the code: the content of an archive does not depend on it.
rule unpack:
    input:
        by_wildcards(PLAN.data.archives, "registry_name"),
    output:
        registry.summary(config["data"], "{registry_name}"),
    log:
        registry.log(config["data"], "unpack/{registry_name}"),
    wildcard_constraints:
        registry_name=any_of(unpackers.NAMES),
    conda:
        IMAGING
    resources:
        **growing(mem_mb=1000, runtime=240),
    params:
        downloads=str(registry.downloads(config["data"], "{registry_name}")),
        target=str(Path(config["data"], "{registry_name}")),
        datasets=by_wildcards(PLAN.data.readers, "registry_name"),
    script:
        "../workflow/scripts/unpack.py"


rule simulate_phantom:
    output:
        [
            f"{RESULTS.raw('phantom_{cohort}')}/{modality}{part}.nii.gz"
            for modality in SIMULATED_MODALITIES
            for part in ("", "_brain", "_lesion")
        ],
    log:
        RESULTS.log("simulate_phantom/{cohort}_{subject}"),
    benchmark:
        RESULTS.benchmark("simulate_phantom/{cohort}_{subject}")
    wildcard_constraints:
        cohort="healthy|tumor|ms|stroke|wmh",
    conda:
        IMAGING
    resources:
        **growing(mem_mb=1500, runtime=10),
    params:
        code=lambda wildcards: code_hash("patch2loc.acquire.phantom"),
        seed=config["seed"],
        index=lambda wildcards: int(wildcards.subject.rsplit("_", 1)[1]),
        settings=config["phantom"],
        modalities=SIMULATED_MODALITIES,
    script:
        "../workflow/scripts/simulate_phantom.py"


rule paint_stroke:
    input:
        lambda wildcards: [
            str(DATASETS[wildcards.dataset].made_of[wildcards.subject][part])
            for part in ("scan", "brain", "mask")
        ],
    output:
        scan=f"{RESULTS.raw()}/{{modality}}.nii.gz",
        brain=f"{RESULTS.raw()}/{{modality}}_brain.nii.gz",
        lesion=f"{RESULTS.raw()}/{{modality}}_lesion.nii.gz",
    log:
        RESULTS.log("paint_stroke/{dataset}/{subject}_{modality}"),
    benchmark:
        RESULTS.benchmark("paint_stroke/{dataset}/{subject}_{modality}")
    wildcard_constraints:
        dataset=any_of(dataset_groups.of_kind(PLAN, "painted")),
    conda:
        IMAGING
    resources:
        **growing(mem_mb=2000, runtime=10),
    params:
        code=lambda wildcards: code_hash("patch2loc.acquire.painted", "patch2loc.preprocess.register"),
        pair=lambda wildcards: {
            key: DATASETS[wildcards.dataset].made_of[wildcards.subject][key] for key in ("seed", "mirrored")
        }
        | DATASETS[wildcards.dataset].painted_size,
    script:
        "../workflow/scripts/paint_stroke.py"


rule paint_lesion:
    input:
        lambda wildcards: [
            str(DATASETS[wildcards.dataset].made_of[wildcards.subject][part]) for part in ("scan", "brain")
        ],
    output:
        scan=f"{RESULTS.raw()}/{{modality}}.nii.gz",
        brain=f"{RESULTS.raw()}/{{modality}}_brain.nii.gz",
        lesion=f"{RESULTS.raw()}/{{modality}}_lesion.nii.gz",
    log:
        RESULTS.log("paint_lesion/{dataset}/{subject}_{modality}"),
    benchmark:
        RESULTS.benchmark("paint_lesion/{dataset}/{subject}_{modality}")
    wildcard_constraints:
        dataset=any_of(dataset_groups.of_kind(PLAN, "controlled")),
    conda:
        IMAGING
    resources:
        **growing(mem_mb=2000, runtime=10),
    params:
        code=lambda wildcards: code_hash("patch2loc.acquire.controlled"),
        lesion=lambda wildcards: {
            key: DATASETS[wildcards.dataset].made_of[wildcards.subject][key]
            for key in ("seed", "diameter_mm", "amount")
        }
        | {"change": DATASETS[wildcards.dataset].source["change"]},
    script:
        "../workflow/scripts/paint_lesion.py"


rule recontrast_scan:
    input:
        lambda wildcards: [
            str(DATASETS[wildcards.dataset].made_of[wildcards.subject][part]) for part in ("scan", "brain")
        ],
    output:
        scan=f"{RESULTS.raw()}/{{modality}}.nii.gz",
        brain=f"{RESULTS.raw()}/{{modality}}_brain.nii.gz",
    log:
        RESULTS.log("recontrast_scan/{dataset}/{subject}_{modality}"),
    benchmark:
        RESULTS.benchmark("recontrast_scan/{dataset}/{subject}_{modality}")
    wildcard_constraints:
        dataset=any_of(dataset_groups.of_kind(PLAN, "recontrasted")),
    conda:
        IMAGING
    resources:
        **growing(mem_mb=2000, runtime=10),
    params:
        code=lambda wildcards: code_hash("patch2loc.acquire.recontrasted"),
        seed=lambda wildcards: DATASETS[wildcards.dataset].made_of[wildcards.subject]["seed"],
    script:
        "../workflow/scripts/recontrast_scan.py"


rule convert_dicom:
    input:
        series=lambda wildcards: str(DATASETS[wildcards.dataset].source_scans[wildcards.subject]["scan"]),
    output:
        f"{RESULTS.raw()}/{{modality}}.nii.gz",
    log:
        RESULTS.log("convert_dicom/{dataset}/{subject}_{modality}"),
    benchmark:
        RESULTS.benchmark("convert_dicom/{dataset}/{subject}_{modality}")
    wildcard_constraints:
        dataset=any_of(dataset_groups.of_kind(PLAN, "table", "folder")),
    conda:
        IMAGING
    resources:
        **growing(mem_mb=1500, runtime=10),
    params:
        code=lambda wildcards: code_hash("patch2loc.acquire.dicom"),
    script:
        "../workflow/scripts/convert_dicom.py"
