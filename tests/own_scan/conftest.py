import pytest
from small_detector import write_detector


@pytest.fixture(scope="session")
def detector_path(tmp_path_factory):
    """A small detector, trained on simulated brains."""
    return write_detector(tmp_path_factory.mktemp("detector") / "small.safetensors")
