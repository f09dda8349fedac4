"""Words of a configuration as types: modality, roles, and what tables say of a dataset."""

from typing import Literal, NotRequired, TypedDict

Modality = Literal["T1", "T2"]
DatasetRole = Literal["lesion", "healthy", "unlabeled"]
SubjectRole = Literal["train", "validation", "test"]  # in a fold


class DatasetInfo(TypedDict):
    """A dataset as tables, figures and the report describe it."""

    title: str
    modality: Modality
    role: DatasetRole
    simulated: bool
    published_name: str | None  # its name in the paper's tables
    sites: NotRequired[dict[str, str]]  # {subject: site}
