# Data: download what is open, unpack what is there, say where to ask for the rest.
localrules:
    data,
    pretrained,
    download,


rule data:
    """The paper's scans: downloads what is open, unpacks, and says where to ask for the rest."""
    input:
        lambda wildcards: obtained_data(),


rule pretrained:
    """Weights from elsewhere that the methods of the configuration can use."""
    input:
        lambda wildcards: [
            str(registry.downloads(config["data"], name) / unpackers.MANIFEST) for name in usable_weights()
        ],


rule download:
    output:
        f"{config['data']}/downloads/{{registered}}/{unpackers.MANIFEST}",
    log:
        f"{RESULTS}/logs/download/{{registered}}.log",
    wildcard_constraints:
        registered="|".join((*unpackers.NAMES, *prerequisites.WEIGHTS)),
    conda:
        IMAGING
    params:
        rows=lambda wildcards: downloadable(wildcards.registered),
    script:
        "../workflow/scripts/download.py"


# No hash of the code: what an archive holds does not change with it.
rule unpack:
    input:
        archives_of,
    output:
        registry.summary(config["data"], "{registered}"),
    log:
        f"{RESULTS}/logs/unpack/{{registered}}.log",
    wildcard_constraints:
        registered="|".join(unpackers.NAMES),
    conda:
        IMAGING
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        downloads=lambda wildcards: str(registry.downloads(config["data"], wildcards.registered)),
        target=lambda wildcards: str(Path(config["data"], wildcards.registered)),
        datasets=lambda wildcards: list(reading(wildcards.registered).values()),
    script:
        "../workflow/scripts/unpack.py"
