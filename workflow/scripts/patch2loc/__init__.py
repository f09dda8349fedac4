"""Patch2Loc: find brain lesions by asking where a patch of a scan comes from.

The library behind the workflow. It knows nothing of Snakemake; stages only
import from stages before their own:
acquire -> preprocess -> standardize -> train -> score -> evaluate -> tables, figures -> report.
"""

__version__ = "0.1.0"
