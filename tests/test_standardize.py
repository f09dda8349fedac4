import numpy as np
import pytest
from intensity_normalization.normalizers.population.nyul import NyulNormalizer
from scans import box, save_scan

from patch2loc.errors import InputError
from patch2loc.standardize import (
    _on_scale_with_background,
    fit_landmarks,
    read_standardized,
    standardize,
)

AFFINE = np.diag([2.0, 2, 2, 1])


def write_scan(folder, subject, seed, gain=1.0, offset=0.0):
    rng = np.random.default_rng(seed)
    mask = box((20, 20, 10), np.s_[4:16, 4:16, 2:8])
    tissue = rng.choice([20.0, 60.0, 100.0], size=mask.shape) + rng.normal(0, 4, size=mask.shape)
    volume = np.where(mask, gain * tissue + offset, 0)
    return save_scan(folder, subject, volume, mask, affine=AFFINE)


@pytest.fixture
def scans(tmp_path):
    return [write_scan(tmp_path, f"s{n}", n, gain=1 + n) for n in range(3)]


def test_landmarks_are_the_mean_of_scaled_percentiles(scans):
    landmarks = fit_landmarks(scans)
    percentiles = [1, *range(10, 91, 10), 99]
    scaled = []
    for scan in scans:
        volume, mask = scan.read()
        low, high = np.percentile(volume[mask], [1, 99])
        scaled.append(100 * (np.percentile(volume[mask], percentiles) - low) / (high - low))
    assert landmarks["percentiles"] == percentiles
    np.testing.assert_allclose(landmarks["standard_scale"], np.mean(scaled, axis=0), rtol=1e-5)
    assert landmarks["subjects"] == ["s0", "s1", "s2"]
    assert len(set(np.round(landmarks["standard_scale"], 3))) == 11  # background would put zeros there


class Image:
    """An image as intensity-normalization takes it."""

    def __init__(self, values):
        self.values = values

    def get_data(self):
        return self.values

    def with_data(self, values):
        return Image(values)


def test_landmarks_and_scale_are_the_library_s_own(scans):
    brains = [volume[mask].astype(float) for volume, mask in (scan.read() for scan in scans)]
    masks = [Image(np.ones(len(brain), bool)) for brain in brains]
    library = NyulNormalizer(0.0, 100.0).fit_population([*map(Image, brains)], masks)
    landmarks = fit_landmarks(scans)
    np.testing.assert_allclose(landmarks["standard_scale"], library.standard_scale, rtol=1e-13, atol=1e-13)
    for scan, brain, ones in zip(scans, brains, masks, strict=True):
        scaled = library.transform(Image(brain), ones).get_data()
        standardized, mask = read_standardized(scan, landmarks)
        np.testing.assert_allclose(
            standardized[mask], scaled / np.percentile(scaled, 98), rtol=3e-7, atol=1e-7
        )


def test_stored_percentiles_spare_reading_the_scan(scans):
    expected = fit_landmarks(scans)
    for scan in scans:
        scan.volume_path.unlink()
    assert fit_landmarks(scans) == expected


def test_landmarks_of_other_percentiles_are_followed(scans):
    volume, mask = scans[0].read()
    landmarks = fit_landmarks(scans) | {"percentiles": [5, 50, 95], "standard_scale": [0.0, 40.0, 100.0]}
    standardized = standardize(volume, mask, landmarks)[mask]
    found = np.percentile(volume[mask], [5, 50, 95])
    scaled = np.interp(volume[mask], found, [0, 40, 100])
    inner = (volume[mask] > found[0]) & (volume[mask] < found[2])
    ratio = standardized[inner] / scaled[inner]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_gain_and_offset_of_a_scan_vanish(tmp_path, scans):
    landmarks = fit_landmarks(scans)
    one, _ = read_standardized(write_scan(tmp_path, "one", 7), landmarks)
    other, mask = read_standardized(write_scan(tmp_path, "other", 7, gain=13, offset=500), landmarks)
    np.testing.assert_allclose(other[mask], one[mask], atol=1e-4)
    assert np.percentile(one[mask], 98) == pytest.approx(1, abs=1e-6)
    assert (one[~mask] == 0).all()


def test_the_released_code_rescales_to_percentiles_1_and_99(tmp_path):
    scans = [write_scan(tmp_path, f"r{n}", n, gain=1 + n) for n in range(3)]
    landmarks = fit_landmarks(scans, scale="range")
    assert landmarks["scale"] == "range"
    values = [
        read_standardized(scans[0], kept)[0] for kept in (landmarks, landmarks | {"scale": "percentile"})
    ]
    mask = scans[0].read()[1]
    rescaled, divided = (volume[mask] for volume in values)
    low, high = np.percentile(divided, (1, 99))
    np.testing.assert_allclose(rescaled, np.clip((divided - low) / (high - low), 0, 1), atol=1e-5)
    assert (rescaled == 0).mean() == pytest.approx(0.01, abs=0.004)
    assert (rescaled == 1).mean() == pytest.approx(0.01, abs=0.004)


def test_landmarks_with_the_background_are_0_up_to_its_share(tmp_path):
    """A brain that fills 27 % of its box: percentiles to 70 are 0, as in the published landmarks those to 50."""
    scans = []
    for number in range(3):
        mask = box((20, 20, 10), np.s_[4:16, 4:16, 2:8])
        mask[5:15, 5:15, 2:8] = False
        mask[6:14, 6:14, 3:7] = box((8, 8, 4), np.s_[2:6, 2:6, 1:3])
        tissue = np.random.default_rng(number).uniform(10, 100, mask.shape)
        scans.append(save_scan(tmp_path, f"b{number}", np.where(mask, tissue, 0), mask, affine=AFFINE))
    brain, share = scans[0].read()[1], 0
    share = brain.sum() / (12 * 12 * 6)
    landmarks = fit_landmarks(scans, background=True)
    assert landmarks["background"] is True
    scale = dict(zip(landmarks["percentiles"], landmarks["standard_scale"], strict=True))
    zeros = [percentile for percentile in scale if percentile < 100 * (1 - share) - 1]
    assert len(zeros) >= 6
    assert all(scale[percentile] == 0 for percentile in zeros)
    assert scale[99] == pytest.approx(100)
    volume, mask = scans[0].read()
    found = np.percentile(volume[4:16, 4:16, 2:8], landmarks["percentiles"])
    values = volume[mask].astype(float)
    scaled = np.interp(values, found, landmarks["standard_scale"])  # a line where the landmarks differ
    within = values < found[-1]
    standardized = standardize(volume, mask, landmarks)[mask]
    ratio = standardized[within] / scaled[within]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_equal_landmarks_of_a_scan_make_no_slope():
    """As TorchIO: a segment without width is flat at the scale of its lower end; what is on a landmark is above it."""
    landmarks, scale = np.array([0.0, 0.0, 0.0, 10.0, 20.0]), np.array([0.0, 0.0, 40.0, 60.0, 100.0])
    mapped = _on_scale_with_background(np.array([0.0, 5.0, 10.0, 15.0, 30.0]), landmarks, scale)
    np.testing.assert_allclose(mapped, [40, 50, 60, 80, 140])
    np.testing.assert_allclose(
        _on_scale_with_background(
            np.array([5.0]), np.array([0.0, 4.0, 4.0, 10.0]), np.array([0.0, 0, 0, 60])
        ),
        [10],
    )


def test_intensities_keep_their_order(scans):
    volume, mask = scans[0].read()
    standardized = standardize(volume, mask, fit_landmarks(scans))
    order = np.argsort(volume[mask])
    assert (np.diff(standardized[mask][order]) >= 0).all()


def test_a_constant_scan_is_refused_by_name(tmp_path, scans):
    flat = save_scan(tmp_path, "flat", np.full((4, 4, 4), 5), np.ones((4, 4, 4), bool), affine=AFFINE)
    with pytest.raises(InputError, match=r"flat/T1\.nii\.gz.*must increase"):
        read_standardized(flat, fit_landmarks(scans))
