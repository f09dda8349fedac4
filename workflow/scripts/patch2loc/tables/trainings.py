"""Provenance and history of the trainings that a job compares: apart, so that other tables do not depend on them."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pandas as pd

from patch2loc.provenance.record import Provenance, read_provenance, sidecar
from patch2loc.tables.inputs import read_folds


def read_trainings(
    inputs: Any, params: Any, methods: Iterable[str]
) -> dict[tuple[str, str], list[tuple[Provenance, pd.DataFrame]]]:
    """Provenance and history of each training, folds in order: {(method, modality): trainings}.

    Args:
        inputs: Input files of the job, with models and histories.
        params: Parameters of the job, with modalities and folds.
        methods: Methods of the models.
    """
    keys = list(product(methods, params.modalities))
    count = len(params.folds)
    records = read_folds(inputs.models, keys, count, lambda path: read_provenance(sidecar(path)))
    histories = read_folds(inputs.histories, keys, count)
    return {key: list(zip(records[key], histories[key], strict=True)) for key in keys}
