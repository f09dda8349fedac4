"""Unpack, and decrypt, the archives of a name in the registry; say which subjects are missing or unknown."""

import os
import sys

from rule_log import rule_log

with rule_log(snakemake.log[0]):
    from patch2loc.acquire import decrypt, unpack
    from patch2loc.files import write_json

    name, params = snakemake.wildcards.registry_name, snakemake.params
    passphrase = os.environ.get(decrypt.PASSPHRASE_VARIABLE)
    unpacked = unpack.unpack(name, params.downloads, params.target, passphrase)
    comparison = unpack.compare(name, unpacked.pop("files"), params.target, params.datasets)
    write_json(snakemake.output[0], {**unpacked, **comparison})
    for dataset, missing in comparison["missing"].items():
        n_unknown = len(comparison["unknown"][dataset])
        print(f"{dataset}: {len(missing)} missing, {n_unknown} unknown", file=sys.__stderr__)
