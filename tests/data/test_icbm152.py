from importlib.machinery import ModuleSpec

import nibabel as nib
import numpy as np
import pytest

from patch2loc.data import icbm152
from patch2loc.errors import InputError


def test_the_maps_are_those_of_the_public_functions_of_nilearn():
    from nilearn import datasets

    public = {
        "t1": datasets.load_mni152_template,
        "gm": datasets.load_mni152_gm_template,
        "wm": datasets.load_mni152_wm_template,
    }
    for name, load in public.items():
        stored, loaded = nib.load(icbm152.map_path(name)), load(resolution=1)
        np.testing.assert_array_equal(
            np.asarray(stored.dataobj).astype(np.float32) / 255, loaded.get_fdata(dtype=np.float32)
        )
        np.testing.assert_array_equal(stored.affine, loaded.affine)


def test_a_nilearn_that_keeps_its_maps_elsewhere_is_named(tmp_path, monkeypatch):
    spec = ModuleSpec("nilearn", None, origin=str(tmp_path / "nilearn/__init__.py"))
    monkeypatch.setattr(icbm152, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match=r"nilearn/datasets/data/mni_icbm152_gm.*no such file; .* install"):
        icbm152.map_path("gm")


def test_without_nilearn_its_maps_are_asked_for(monkeypatch):
    monkeypatch.setattr(icbm152, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"nilearn not found.*install it"):
        icbm152.map_path("t1")
