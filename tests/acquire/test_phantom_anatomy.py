"""What the simulated heads show: tissue, lesions and their mass effect."""

import nibabel as nib
import numpy as np
import pytest
from heads import milliliters, scans
from scipy import ndimage

from patch2loc.acquire import phantom
from patch2loc.acquire.phantom import anatomy, contrast, fields, lesions
from patch2loc.acquire.phantom.template import load_template, sample_depth
from patch2loc.data.modalities import MODALITIES, SIMULATED_TOGETHER

LESION_COHORTS = [name for name in phantom.COHORTS if name != "healthy"]
# The modality in which the cohort is scored, and the sign of its contrast with healthy tissue.
SCORED = {"tumor": ("T2", 1), "ms": ("T2", 1), "stroke": ("T1", -1), "wmh": ("T1", -1)}
VOLUME_ML = {"tumor": (14, 268), "ms": (0.4, 15), "stroke": (9, 85), "wmh": (3, 40)}


def streams(rng):
    """A stream of random numbers for each modality: T1 and T2 share it, as in a simulation, any other has its own."""
    return {name: rng if name in SIMULATED_TOGETHER else np.random.default_rng(0) for name in MODALITIES}


def built(name, index=0, spacing=2.0):
    """A head and its lesion on the anatomy's grid."""
    template = load_template(spacing)
    rng = np.random.default_rng([5, index])
    points = anatomy.deform(rng, template)
    mass = None
    if name == "tumor":
        mass = lesions.draw_mass(rng, template, points)
    head = anatomy.build_anatomy(rng, template, points, spacing)
    tissues = contrast.draw_contrast(streams(rng))
    return head, lesions.grow(rng, name, head, contrast=tissues, mass=mass)


# --- tissue ---


def test_tissue_fractions_and_contrast_order():
    rng = np.random.default_rng(0)
    head, _ = built("healthy")
    total = head.gray + head.white + head.csf
    np.testing.assert_allclose(total, head.brain, atol=2e-2)
    images = contrast.render(rng, head, contrast.draw_contrast(streams(rng)))
    # Away from the iron of the gray nuclei and from partial volume.
    pure = {
        name: (volume > 0.9) & (head.brain > 0.99) & (head.iron < 0.05)
        for name, volume in (("gray", head.gray), ("white", head.white), ("csf", head.csf))
    }
    t1, t2 = ({name: images[m][mask].mean() for name, mask in pure.items()} for m in ("T1", "T2"))
    assert t1["csf"] + 0.2 < t1["gray"] < t1["white"] - 0.15
    assert t2["white"] + 0.2 < t2["gray"] < t2["csf"] - 0.6
    volumes = {name: (getattr(head, name).sum() * head.voxel_ml) for name in pure}
    assert 500 < volumes["gray"] < 1000
    assert 350 < volumes["white"] < 750
    assert 40 < volumes["csf"] < 500


def test_deformation_does_not_fold():
    template = load_template(3.0)
    for index in range(6):
        points = anatomy.deform(np.random.default_rng(index), template)
        gradients = np.stack([np.stack(np.gradient(p, anatomy.COARSE)) for p in points])
        determinant = np.linalg.det(np.moveaxis(gradients, (0, 1), (-2, -1)))
        inside = sample_depth(template, points) > 0
        assert (determinant[inside] > 0).mean() > 0.999
        assert np.median(determinant[inside]) == pytest.approx(anatomy.MEAN_SIZE**-3, rel=0.3)


def test_anatomy_varies_but_less_than_locations_differ():
    """The same atlas point lies within centimeters in all subjects, else there is nothing to learn."""
    template = load_template(3.0)
    points = np.stack([anatomy.deform(np.random.default_rng(index), template) for index in range(12)])
    inside = (sample_depth(template, points.mean(0))) > 5
    spread = points.std(0)[:, inside]
    assert 2 < np.median(np.sqrt((spread**2).sum(0))) < 9


def test_texture_is_the_subjects_own():
    axes = anatomy.grid_axes(4.0)
    first, second = (fields.smooth_field(np.random.default_rng(index), axes, 8.0) for index in range(2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05
    assert first.std() == pytest.approx(1, abs=0.1)


def test_smooth_field_is_the_same_on_fine_and_coarse_grids():
    coarse, fine = (
        fields.smooth_field(np.random.default_rng(1), anatomy.grid_axes(spacing), 20.0)
        for spacing in (4.0, 2.0)
    )
    np.testing.assert_allclose(fine[::2, ::2, ::2], coarse, atol=1e-4)


def test_upsample_is_exact_on_a_plane():
    coarse, fine = anatomy.grid_axes(4.0), anatomy.grid_axes(2.0)
    x, y, z = np.meshgrid(*coarse, indexing="ij")
    plane = (2 * x - y + 0.5 * z).astype(np.float32)
    x, y, z = np.meshgrid(*fine, indexing="ij")
    np.testing.assert_allclose(fields.upsample(plane, coarse, fine), 2 * x - y + 0.5 * z, atol=1e-3)


# --- lesions ---


def test_healthy_subjects_have_no_lesion(subjects):
    assert not any(scan.lesion.any() for _, scan in scans(subjects, "healthy"))


@pytest.mark.parametrize("name", LESION_COHORTS)
def test_lesion_volume_and_place(subjects, name):
    low, high = VOLUME_ML[name]
    places = []
    for _, scan in scans(subjects, name):
        assert low < milliliters(scan.lesion, scan.affine) < high
        assert not (scan.lesion & ~scan.brain & 1).any()
        places.append(nib.affines.apply_affine(scan.affine, np.argwhere(scan.lesion).mean(0)))
    # All scans of one subject show one lesion, each in its pose; two subjects have different ones.
    for subject in subjects[name]:
        volumes = [milliliters(scan.lesion, scan.affine) for scan in subject.values()]
        assert volumes == pytest.approx([volumes[0]] * len(volumes), rel=0.15)
    first, second = (milliliters(subject["T1"].lesion, np.eye(4)) for subject in subjects[name])
    assert first != second


@pytest.mark.parametrize("name", LESION_COHORTS)
def test_lesion_stands_out_in_its_modality(subjects, name):
    modality, sign = SCORED[name]
    for subject in subjects[name]:
        scan = subject[modality]
        lesion, brain = scan.lesion > 0, scan.brain > 0
        around = ndimage.binary_dilation(lesion, iterations=4) & ~ndimage.binary_dilation(lesion) & brain
        core = scan.array[lesion].astype(float)
        healthy = scan.array[around].astype(float)
        assert sign * (np.median(core) - np.median(healthy)) > 0.08 * np.median(healthy)


def test_tumor_is_one_large_convex_region_between_gray_matter_and_fluid(subjects):
    for subject in subjects["tumor"]:
        scan = subject["T2"]
        labels, count = ndimage.label(scan.lesion)
        sizes = np.bincount(labels.ravel())[1:]
        assert sizes.max() > 0.97 * sizes.sum(), count
    head, lesion = built("tumor")
    tissues = contrast.draw_contrast({"T2": np.random.default_rng(0)})
    for _, values in lesion.compartments:
        assert tissues["gray"]["T2"] < values["T2"] < tissues["csf"]["T2"]
    radius = (3 * lesion.membership.sum() * head.spacing**3 / (4 * np.pi)) ** (1 / 3)
    assert 13 < radius < 40


def test_ms_lesions_are_many_small_and_near_the_ventricles():
    for index in range(3):
        head, lesion = built("ms", index)
        labels, count = ndimage.label(lesion.membership > 0.35, np.ones((3, 3, 3)))
        assert 6 <= count <= 25
        sizes = np.bincount(labels.ravel())[1:] * head.spacing**3
        # A single lesion is up to 10 mm across; two that touch count as one here.
        assert (6 / np.pi * sizes.max()) ** (1 / 3) < 14, "mm across"
        assert (6 / np.pi * np.median(sizes)) ** (1 / 3) < 9, "mm across"
        near = ndimage.distance_transform_edt(~head.ventricles, head.spacing)
        centers = (
            np.array(ndimage.center_of_mass(labels > 0, labels, range(1, count + 1))).round().astype(int)
        )
        background = near[(head.white > 0.75) & (head.depth > 6)]
        assert np.median(near[tuple(centers.T)]) < 0.75 * np.median(background)


def test_stroke_is_on_one_side():
    for index in range(3):
        head, lesion = built("stroke", index)
        right = head.template(0) > 0
        share = lesion.membership[right].sum() / lesion.membership.sum()
        assert share < 0.02 or share > 0.98


def test_wmh_is_on_both_sides_of_white_matter_near_the_ventricles():
    for index in range(3):
        head, lesion = built("wmh", index)
        mask = lesion.membership > 0.5
        share = (mask & (head.template(0) > 0)).sum() / mask.sum()
        assert 0.15 < share < 0.85
        assert head.white[mask].mean() > 0.7
        near = ndimage.distance_transform_edt(~head.ventricles, head.spacing)
        assert np.median(near[mask]) < 8


# --- mass effect ---


def test_mass_effect_pushes_tissue_outwards():
    x, y, z = anatomy.coarse_points()
    points = np.stack([x, y, z])
    mass = lesions.Mass(np.array([30.0, 0.0, 20.0]), 20.0)
    deep = np.full(x.shape, 40, np.float32)
    moved = lesions.displace(mass, points, deep)
    axes = anatomy.grid_axes(anatomy.COARSE)

    def came_from(mm):
        index = [round((c - a[0]) / anatomy.COARSE) for c, a in zip(mm, axes, strict=True)]
        return moved[(slice(None), *index)]

    # Along x from the center: 20 mm away is found what was 9 mm nearer; 38 mm away, 9 / e nearer.
    np.testing.assert_allclose(came_from((48, 0, 20)), (48 - 0.45 * 18, 0, 20), atol=0.2)
    np.testing.assert_allclose(came_from((68, 0, 20)), (68 - 9 * np.exp(-1), 0, 20), atol=0.2)
    # Nothing folds, and what lies at the brain's surface stays.
    along = moved[0][:, int((0 - axes[1][0]) / 4), int((20 - axes[2][0]) / 4)]
    assert (np.diff(along) > 0).all()
    np.testing.assert_allclose(lesions.displace(mass, points, np.zeros_like(x)), points, atol=1e-3)
