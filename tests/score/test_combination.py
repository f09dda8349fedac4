"""Combinations of methods: ranks by hand, folders of heatmaps, names, and what the workflow plans for them."""

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from repository_paths import ROOT
from scipy.stats import chi2, kstest
from workflow_runs import TINY, plan

from patch2loc.configuration.combinations import (
    RULE_NAMES,
    available_combinations,
    check_combinations,
    combinations_note,
    left_out_note,
)
from patch2loc.configuration.configuration_file import read_configuration
from patch2loc.configuration.method_names import configured
from patch2loc.configuration.method_registry import METHODS
from patch2loc.data import volumes
from patch2loc.errors import InputError
from patch2loc.score.calibration import calibrated_validation, fit_calibration, write_calibration
from patch2loc.score.combination import RULES, combine, combine_folders, parts_of, ranks
from patch2loc.score.stored_heatmaps import Heatmaps, HeldOutHeatmaps

AFFINE = np.diag([2.0, 2, 2, 1])
BOTH = {
    "average": {"of": ["patch2loc", "dae"], "by": "rank_average"},
    "product": {"of": ["patch2loc", "dae"], "by": "rank_product"},
}
CALIBRATED = {"fisher": {"of": ["patch2loc_calibrated", "dae_as_published", "thresh"], "by": "rank_fisher"}}


def scan(*scores):
    return np.array(scores, np.float32).reshape(-1, 1, 1)


def test_ranks_run_from_0_to_1_and_ties_share_theirs():
    np.testing.assert_allclose(ranks(scan(30, np.nan, 10, 20, 20, 90)), [0.75, 0, 0.375, 0.375, 1])
    np.testing.assert_allclose(ranks(scan(4, 4, 4)), 0.5)
    np.testing.assert_array_equal(ranks(scan(np.nan, 4)), [0])


def test_average_and_product_by_hand():
    first, second = scan(1, 2, 3, np.nan, 4, 5), scan(50, 10, 40, np.nan, 20, 30)
    # Ranks of the first: 0, 1/4, 2/4, 3/4, 1; of the second: 1, 0, 3/4, 1/4, 2/4.
    average = combine([first, second], "rank_average").ravel()
    np.testing.assert_allclose(average, [0.5, 0.125, 0.625, np.nan, 0.5, 0.75])
    product = combine([first, second], "rank_product").ravel()
    np.testing.assert_allclose(product, [0, 0, 0.375, np.nan, 0.1875, 0.5])
    three = combine([first, second, second], "rank_average").ravel()
    np.testing.assert_allclose(three[[0, 5]], [2 / 3, 2 / 3])
    # Shares of the five voxels that score as high or higher: 5/5, 4/5, ... 1/5.
    fisher = combine([first, second], "rank_fisher").ravel()
    np.testing.assert_allclose(fisher, -np.log([5 / 25, 20 / 25, 6 / 25, np.nan, 8 / 25, 3 / 25]), rtol=1e-6)
    assert average.dtype == product.dtype == fisher.dtype == np.float32


def test_twice_fishers_statistic_of_independent_methods_is_chi_squared():
    generator = np.random.default_rng(0)
    found = combine(generator.normal(size=(3, 40, 40, 40)).astype(np.float32), "rank_fisher")
    # Of 64,000 voxels 0.0054 is the critical value at 5 %.
    assert kstest(2 * found.ravel(), chi2(6).cdf).statistic < 0.005


def test_of_tied_voxels_half_count_in_fishers_shares():
    shares = [0.75, 0.75, 0.75, 0.75, 2 / 6, 1 / 6]
    np.testing.assert_allclose(RULES["rank_fisher"](ranks(scan(0, 0, 0, 0, 1, 2))[None]), -np.log(shares))


@pytest.mark.parametrize("by", ["rank_average", "rank_product", "rank_fisher"])
def test_only_the_order_of_the_voxels_counts(by):
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 6, 5, 4)).astype(np.float32)
    first[0, 0], second[0, 0] = np.nan, np.nan
    found = combine([first, second], by)
    np.testing.assert_array_equal(found, combine([np.exp(first), 7 * second - 3], by))
    np.testing.assert_allclose(found, combine([second, first], by))
    assert not np.allclose(found[1:], combine([first, -second], by)[1:])
    alone = combine([first, first], "rank_average")
    assert np.array_equal(np.argsort(alone[1:], None), np.argsort(first[1:], None))


def write_folder(folder, seed, device, precision="float32", subjects=("s0", "s1"), outside=0):
    generator = np.random.default_rng(seed)
    for subject in subjects:
        heatmap = generator.normal(size=(6, 5, 4)).astype(np.float32)
        heatmap[outside] = np.nan
        volumes.write(folder / f"{subject}.nii.gz", heatmap, AFFINE)
    seconds = [1.25 + number for number in range(len(subjects))]
    table = pd.DataFrame({"subject": subjects, "seconds": seconds, "device": device, "precision": precision})
    table.to_csv(folder / "seconds.csv", index=False)
    return folder


def test_a_folder_of_heatmaps_is_made_of_those_of_its_parts(tmp_path):
    folders = [
        write_folder(tmp_path / "a", 1, "cuda", "bfloat16"),
        write_folder(tmp_path / "b", 2, "cpu"),
        write_folder(tmp_path / "c", 3, "cpu"),
    ]
    parts = [Heatmaps(folder) for folder in folders]
    combine_folders(parts, folders, "rank_product", tmp_path / "out/fold0")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"fold0"}
    assert {path.name for path in (tmp_path / "out/fold0").iterdir()} == {
        "s0.nii.gz",
        "s1.nii.gz",
        "seconds.csv",
    }
    for subject in ("s0", "s1"):
        found, affine = volumes.read(tmp_path / f"out/fold0/{subject}.nii.gz")
        given = [volumes.read(folder / f"{subject}.nii.gz")[0] for folder in folders]
        np.testing.assert_array_equal(found, combine(given, "rank_product"))
        np.testing.assert_array_equal(affine, AFFINE)
    times = pd.read_csv(tmp_path / "out/fold0/seconds.csv")
    assert times.to_dict("list") == {
        "subject": ["s0", "s1"],
        "seconds": [3.75, 6.75],
        "device": ["cuda + cpu"] * 2,
        "precision": ["bfloat16 + float32"] * 2,
    }
    before = (tmp_path / "out/fold0/s0.nii.gz").read_bytes()
    combine_folders(parts, folders, "rank_product", tmp_path / "out/fold0")
    assert (tmp_path / "out/fold0/s0.nii.gz").read_bytes() == before


def test_parts_are_seen_through_a_calibration_of_other_scans(tmp_path):
    subjects = [f"s{number}" for number in range(5)]
    folders = [
        write_folder(tmp_path / name, seed, "cpu", subjects=subjects) for seed, name in enumerate("ab")
    ]
    parts = [HeldOutHeatmaps(folders[0], 2.0), Heatmaps(folders[1])]
    combine_folders(parts, folders, "rank_average", tmp_path / "out")
    first, second = ({subject: volumes.read(part.path(subject))[0] for subject in subjects} for part in parts)
    first = calibrated_validation(first, 2.0)
    for subject in subjects:
        found, _ = volumes.read(tmp_path / f"out/{subject}.nii.gz")
        np.testing.assert_array_equal(found, combine([first[subject], second[subject]], "rank_average"))


def test_each_row_is_seen_as_it_is_evaluated(tmp_path):
    rows = ["patch2loc_calibrated", "ae_as_published", "patch2loc_robust_calibrated", "ae"]
    folders = [write_folder(tmp_path / name, seed, "cpu") for seed, name in enumerate("abc")]
    write_folder(folders[1] / "as_published", 3, "cpu")
    folders.append(folders[1])  # of two rows
    fitted = {
        tmp_path / f"calibration{number}": fit_calibration(
            np.random.default_rng(number).random((9, 6, 5, 4)), 2.0
        )
        for number in range(2)
    }
    for folder, calibration in fitted.items():
        write_calibration(folder, calibration, AFFINE)
    parts = parts_of(rows, folders, list(fitted), 2.0)
    combine_folders(parts, folders, "rank_fisher", tmp_path / "out")
    first, third, fourth = (volumes.read(folders[place] / "s1.nii.gz")[0] for place in (0, 2, 1))
    as_published = volumes.read(folders[1] / "as_published/s1.nii.gz")[0]
    calibrated = [each.apply(score) for each, score in zip(fitted.values(), (first, third), strict=True)]
    expected = combine([calibrated[0], as_published, calibrated[1], fourth], "rank_fisher")
    np.testing.assert_array_equal(volumes.read(tmp_path / "out/s1.nii.gz")[0], expected)
    assert pd.read_csv(tmp_path / "out/seconds.csv")["seconds"].tolist() == [
        3.75,
        6.75,
    ]  # the folder counts once
    with pytest.raises(ValueError, match="zip"):
        parts_of(rows, folders, list(fitted)[:1], 2.0)
    assert isinstance(parts_of(rows, folders, [], 2.0)[2], HeldOutHeatmaps)


def test_a_scan_that_cannot_be_held_out_is_named(tmp_path):
    folder = write_folder(tmp_path / "a", 1, "cpu")
    with pytest.raises(InputError, match=r"a/s2\.nii\.gz: no such file"):
        HeldOutHeatmaps(folder, 2.0).read("s2")


def test_parts_of_other_scans_or_voxels_are_refused(tmp_path):
    def together(*folders):
        combine_folders([Heatmaps(folder) for folder in folders], folders, "rank_average", tmp_path / "out")

    first = write_folder(tmp_path / "a", 1, "cpu")
    fewer = write_folder(tmp_path / "b", 2, "cpu", subjects=("s0",))
    with pytest.raises(InputError, match=r"/b: other scans found than in .*/a"):
        together(first, fewer)
    other = write_folder(tmp_path / "c", 3, "cpu", outside=1)
    with pytest.raises(InputError, match=r"a/s0\.nii\.gz, .*c/s0\.nii\.gz: scores of other voxels"):
        together(first, other)
    assert not (tmp_path / "out").exists()


def write_contrast(folder, heatmaps, seconds):
    """Heatmaps of one contrast, {subject: (x, y, z)}, and the seconds of each."""
    for subject, heatmap in heatmaps.items():
        thick = np.pad(
            heatmap, [(0, 0), (0, 1), (0, 1)], constant_values=np.nan
        )  # a file is no line of voxels
        volumes.write(folder / f"{subject}.nii.gz", thick, AFFINE)
    table = pd.DataFrame(
        {"subject": list(heatmaps), "seconds": seconds, "device": "cpu", "precision": "float32"}
    )
    table.to_csv(folder / "seconds.csv", index=False)
    return folder


def test_scans_of_a_person_are_joined_by_ranks_in_the_brain_that_both_share(tmp_path):
    # Alone, the voxel of 9 in the T1 scan would move the ranks of the others; the T2 mask leaves it out.
    t1 = {"p": scan(1, 2, 3, 4, 9, np.nan), "q": scan(1, 2, 3, 4, 5, 6)}
    t2 = {"r": scan(1, 2, 3, 4, 5, 6), "p": scan(30, 10, 40, 20, np.nan, 50)}
    folders = [write_contrast(tmp_path / "t1", t1, [1, 2]), write_contrast(tmp_path / "t2", t2, [4, 8])]
    combine_folders(
        [Heatmaps(folder) for folder in folders], folders, "rank_average", tmp_path / "out", joint=True
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"p.nii.gz", "seconds.csv"}
    # Ranks in the four common voxels: 0, 1/3, 2/3, 1 in T1 and 2/3, 0, 1, 1/3 in T2.
    found = volumes.read(tmp_path / "out/p.nii.gz")[0][:, 0, 0]
    np.testing.assert_allclose(found, [1 / 3, 1 / 6, 5 / 6, 2 / 3, np.nan, np.nan], rtol=1e-6)
    assert pd.read_csv(tmp_path / "out/seconds.csv")[["subject", "seconds"]].values.tolist() == [["p", 9]]


def test_each_contrast_of_a_calibrated_row_has_its_own_calibration(tmp_path):
    """A place where healthy T2 scans score high is no finding there; in T1, where they do not, it is."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(2, 9, 6, 5, 4)).astype(np.float32)
    noise[1, :, :3] += 20  # healthy T2 scans score high in one half
    noise, calibrations = np.pad(noise, [(0, 0)] * 3 + [(0, 1)] * 2, constant_values=np.nan), []
    for name, healthy in zip(("T1", "T2"), noise, strict=True):
        calibrations.append(tmp_path / f"calibration_{name}")
        write_calibration(calibrations[-1], fit_calibration(healthy, 2.0), AFFINE)
    scans = generator.normal(size=(2, 6, 5, 4)).astype(np.float32)
    scans[1, :3] += 20
    folders = [
        write_contrast(tmp_path / name, {"p": heatmap}, [1])
        for name, heatmap in zip(("t1", "t2"), scans, strict=True)
    ]
    rows = ["patch2loc_calibrated"] * 2
    parts = parts_of(rows, folders, calibrations, 2.0)
    combine_folders(parts, folders, "rank_fisher", tmp_path / "out", joint=True)
    by_hand = [
        fit_calibration(healthy, 2.0).apply(volumes.read(folder / "p.nii.gz")[0])
        for healthy, folder in zip(noise, folders, strict=True)
    ]
    found = volumes.read(tmp_path / "out/p.nii.gz")[0]
    np.testing.assert_array_equal(found, combine(by_hand, "rank_fisher"))
    swapped = parts_of(rows, folders, calibrations[::-1], 2.0)
    combine_folders(swapped, folders, "rank_fisher", tmp_path / "swapped", joint=True)
    assert not np.allclose(found, volumes.read(tmp_path / "swapped/p.nii.gz")[0])
    assert all(isinstance(part, HeldOutHeatmaps) for part in parts_of(rows, folders, [], 2.0))


def test_people_or_brains_without_anything_in_common_are_refused(tmp_path):
    def together(*folders):
        parts = [Heatmaps(folder) for folder in folders]
        combine_folders(parts, folders, "rank_average", tmp_path / "out", joint=True)

    first = write_contrast(tmp_path / "t1", {"p": scan(1, 2, np.nan, np.nan)}, [1])
    other = write_contrast(tmp_path / "t2", {"q": scan(1, 2, 3, 4)}, [1])
    apart = write_contrast(tmp_path / "flipped", {"p": scan(np.nan, np.nan, 1, 2)}, [1])
    with pytest.raises(InputError, match=r"/t1 and .*/t2: no scans of the same name found, one person"):
        together(first, other)
    with pytest.raises(
        InputError, match=r"t1/p\.nii\.gz, .*flipped/p\.nii\.gz: no voxel in common found, brains"
    ):
        together(first, apart)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "parts", "message"),
    [
        ("a/b", ["patch2loc", "dae"], r"combinations: the name 'a/b' found, letters"),
        ("2nd", ["patch2loc", "dae"], r"the name '2nd' found"),
        (300 * "x", ["patch2loc", "dae"], r"combinations: the name 'x{80}' found, .* at most 60, no digit"),
        ("both_calibrated", ["patch2loc", "dae"], r"the name 'both_calibrated' found"),
        ("both_as_published", ["patch2loc", "dae"], r"the name 'both_as_published' found"),
        ("vae", ["patch2loc", "dae"], r"combinations\.vae: a method has this name"),
        (
            "both",
            ["patch2loc", "deo"],
            r"combinations\.both\.of: deo found, rows of methods expected: patch2loc, ",
        ),
        ("both", ["patch2loc", "thresh_calibrated"], r"of: thresh_calibrated found"),
        ("both", ["patch2loc", "average"], r"of: average found"),
        ("both", ["patch2loc"], r"combinations\.both\.of: patch2loc found, at least two"),
        (
            "both",
            ["patch2loc", "oracle"],
            r"combinations\.both\.of: oracle found, which is given the lesions",
        ),
    ],
)
def test_names_that_cannot_be_are_refused(name, parts, message):
    check_combinations(BOTH | {"own": {"of": ["patch2loc", "mypackage.distance"], "by": "rank_average"}})
    with pytest.raises(InputError, match=message):
        check_combinations(BOTH | {name: {"of": parts, "by": "rank_average"}})


def test_a_combination_whose_methods_do_not_run_is_left_out_and_said():
    more = BOTH | {"third": {"of": ["thresh", "zscore", "patch2loc"], "by": "rank_average"}}
    assert list(available_combinations(more, ["patch2loc", "thresh", "zscore"])) == ["third"]
    note = left_out_note(more, ["patch2loc", "thresh", "zscore"])
    assert note.endswith("not all among `methods`: average needs dae; product needs dae.")
    more |= CALIBRATED
    assert available_combinations(more, METHODS) == more
    assert list(available_combinations(more, ["patch2loc", "thresh", "dae"])) == [
        "average",
        "product",
        "fisher",
    ]
    assert left_out_note(CALIBRATED, ["patch2loc", "thresh"]).endswith("fisher needs dae_as_published.")
    assert left_out_note(more, METHODS) == ""


def test_a_combination_that_is_optional_is_left_out_without_a_note():
    optional = {name: combination | {"optional": True} for name, combination in BOTH.items()}
    assert available_combinations(optional, ["patch2loc"]) == {}
    assert left_out_note(optional, ["patch2loc"]) == ""
    assert "average needs dae" in left_out_note(BOTH | {"product": optional["product"]}, ["patch2loc"])


def test_the_demo_is_planned_without_a_note_on_combinations():
    demo = read_configuration(ROOT / "config" / "demo.yaml")
    assert demo["combinations"]
    assert left_out_note(demo["combinations"], demo["methods"]) == ""


def test_tables_are_told_what_a_combination_is_made_of():
    assert combinations_note(BOTH | CALIBRATED) == (
        "Combinations, of a voxel's ranks within its scan: average, average of patch2loc and dae; "
        "product, product of patch2loc and dae; "
        "fisher, Fisher's statistic of patch2loc_calibrated and dae_as_published and thresh."
    )
    assert set(RULE_NAMES) == set(RULES)
    assert combinations_note({}) == ""


@pytest.mark.workflow
def test_the_workflow_plans_heatmaps_and_rows_and_no_model_of_a_combination(tmp_path):
    config = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    config |= {"methods": "all", "combinations": BOTH | CALIBRATED, "budget": "smoke"}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(config))
    result = plan(tmp_path, config=tmp_path / "all.yaml")
    said = result.stdout + result.stderr
    assert result.returncode == 0, said[-3000:]
    jobs = Counter(re.findall(r"^\s*(?:local)?rule (\w+):", said, re.MULTILINE))
    everything = configured("all")
    assert jobs["train"] == 2 * len(everything)
    assert jobs["score"] == 4 * len(everything)
    assert (jobs["combine"], jobs["combine_validation"]) == (3 * 4, 3 * 2)
    made = re.findall(r"rule (combine\w*):\n\s+input: (.*)\n\s+output: (\S+)", said)
    made = {(rule, output): given.split(", ") for rule, given, output in made}

    def made_of(rule, kind, name, dataset="phantom_tumor"):
        given = made[rule, f"results/tiny/{kind}/{name}/{dataset}/fold0"]
        return [path.removeprefix("results/tiny/").removesuffix(f"/{dataset}/fold0") for path in given]

    assert made_of("combine", "heatmaps", "average") == ["heatmaps/patch2loc", "heatmaps/dae"]
    parts = ["heatmaps/patch2loc", "heatmaps/dae", "heatmaps/thresh"]
    assert made_of("combine", "heatmaps", "fisher") == [*parts, "calibration/patch2loc/T2/fold0"]
    # The healthy validation scans made the calibration: they are held out in turn.
    held_out = made_of("combine_validation", "heatmaps_validation", "fisher", "phantom_healthy_t1")
    assert held_out == ["heatmaps_validation/" + part.partition("/")[2] for part in parts]
    (table1,) = re.findall(r"rule table1:\n\s+input: (.*)\n", said)
    (comparison,) = re.findall(r"rule comparison:\n\s+input: (.*)\n", said)
    (cost,) = re.findall(r"rule cost:\n\s+input: (.*)\n", said)
    assert {"average", "product", *everything} <= set(re.findall(r"metrics/(\w+)/", table1))
    assert {"average", "random"} <= set(re.findall(r"metrics/(\w+)/", comparison))
    assert "metrics/oracle/" not in comparison
    assert "metrics/average/" not in cost
    assert "models/average/" not in said
    viewer = re.findall(r"rule viewer:\n\s+input: (.*)\n", said)[0]
    assert "heatmaps/product/phantom_tumor/fold0" in viewer


@pytest.mark.workflow
def test_a_combination_of_methods_that_do_not_run_is_said_to_be_left_out(tmp_path):
    config = yaml.safe_load(TINY.read_text(encoding="utf-8")) | {"combinations": BOTH}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(config))
    result = plan(tmp_path, "table1", config=tmp_path / "few.yaml")
    said = result.stdout + result.stderr
    assert result.returncode == 0, said[-3000:]
    assert "average needs dae; product needs dae." in said
    assert "rule combine:" not in said
