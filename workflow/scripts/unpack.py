"""Unpack, and decrypt, the archives of a name in the registry; say who is missing or unknown."""

import os
import sys

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire import decrypt, unpack
    from patch2loc.files import write_json

    name, params = snakemake.wildcards.registered, snakemake.params
    passphrase = os.environ.get(decrypt.PASSPHRASE_VARIABLE)
    found = unpack.unpack(name, params.downloads, params.target, passphrase)
    compared = unpack.compare(found["subjects"], params.datasets)
    write_json(snakemake.output[0], {**found, **compared})
    for dataset, missing in compared["missing"].items():
        print(f"{dataset}: {len(missing)} missing, {len(compared['unknown'])} unknown", file=sys.__stderr__)
