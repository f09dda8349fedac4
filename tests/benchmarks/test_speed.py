"""The benchmarks of speed run on a small grid, and their tables say what they have to say."""

import sys

import numpy as np
import pytest
from torch import nn


@pytest.mark.thorough
def test_what_to_measure_first_on_a_gpu_runs_on_a_processor_and_leaves_out_what_only_a_gpu_has(
    benchmarks, tmp_path, capsys, monkeypatch
):
    import first_gpu
    from comparison import read_rows

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    first_gpu.main(["--device", "cpu", "--case", "tiny", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    for name in ("synchronizations", "deterministic_mode"):
        assert f"{name}: left out, as it needs a GPU" in printed
    assert "Error" not in printed
    first = {row["task"] for row in read_rows(tmp_path / "first_gpu_cpu.csv")}
    assert first == {"prediction", "first convolution", "gradient of its weights", "same voxels"}

    rows = read_rows(tmp_path / "engine_tiny_cpu.csv")
    assert (tmp_path / "engine_tiny_cpu.png").stat().st_size > 10_000
    compared = {(row["task"], row["way"], row["against"]) for row in rows}
    for task in ("same voxels", "volume, background skipped", "scan to heatmap", "training"):
        assert (task, "engine", "released") in compared
        assert (task, "unpadded", "engine") in compared
    for row in rows:
        assert row["machine"]
        assert row["date"]
        if row["ratio"]:
            assert 0 < float(row["ratio_low"]) <= float(row["ratio"]) <= float(row["ratio_high"])
        if row["share_of_peak"]:
            assert float(row["share_of_peak"]) > 0
        if row["task"].startswith("difference") and row["precision"] == "float32":
            assert float(row["value"]) < 1e-5


def test_the_operations_counted_are_those_that_are_executed(benchmarks):
    from brains import Source
    from engine import CASES
    from executed_operations import executed_operations
    from ways import ENGINE, RELEASED

    tiny = CASES["tiny"]
    source = Source(tiny.grid, 0)
    slice_voxels = np.argwhere(np.ones((*tiny.grid[:2], 1), bool))
    counts = {
        way: executed_operations(way, tiny, source, slice_voxels, device="cpu", precision="float32")
        for way in (RELEASED, ENGINE)
    }
    from patch2loc.network.location import encoder

    def met(size, kernel, stride, padding):
        """Pairs of a place and a kernel's row that meets the map, along one axis."""
        places = range((size + 2 * padding - kernel) // stride + 1)
        rows = [place * stride - padding + row for place in places for row in range(kernel)]
        return sum(0 <= row < size for row in rows)

    # By hand, of the released way: every product of every kernel, but for the zeros of padding.
    maps = {"conv1": 12, "layer1": 4, "layer2": 4, "layer3": 2, "layer4": 1}  # voxels that a layer is given
    expected = 0
    for place, layer in encoder(tiny.widths).named_modules():
        if isinstance(layer, nn.Conv2d):
            size, kernel, stride = maps[place.partition(".")[0]], layer.kernel_size[0], layer.stride[0]
            if "layer" in place and not place.endswith(("0.conv1", "downsample.0")):
                size = 1 if place.startswith(("layer3", "layer4")) else 4 if place.startswith("layer1") else 2
            expected += (
                layer.in_channels * layer.out_channels * met(size, kernel, stride, layer.padding[0]) ** 2
            )
    latent = tiny.widths[-1]
    heads = 2 * (latent * latent + latent * 128 + 128 * 64 + 64 * 32 + 32 * 2)
    assert counts[RELEASED] == 2 * (expected + heads)
    assert counts[ENGINE] < counts[RELEASED]


def test_the_released_batches_keep_every_accepted_candidate_and_no_other(benchmarks):
    import torch
    from brains import brain
    from straightforward import CANDIDATES, training_steps

    torch.manual_seed(0)
    volume = np.ones((40, 40, 12), np.float32)
    everywhere, nowhere = np.ones(volume.shape, bool), np.zeros(volume.shape, bool)
    sizes = {"patch": 12, "widths": (8, 8, 8, 8)}
    assert next(training_steps([(volume, everywhere)] * 2, 16, "cpu", **sizes)) == CANDIDATES * 16
    _, mask = brain((40, 40, 12))
    steps = training_steps([(volume, mask), (volume, nowhere)], 64, "cpu", **sizes)
    assert 0 < np.mean([next(steps) for _ in range(5)]) < CANDIDATES * 64 / 2


def test_brains_differ_from_each_other_and_from_slice_to_slice(benchmarks):
    from brains import brain

    masks = [brain((96, 96, 50), number)[1] for number in range(3)]
    for mask in masks:
        counts = mask.sum(axis=(0, 1))
        assert 0.2 < mask.mean() < 0.5
        assert len(np.unique(counts)) > 40
        assert (mask != mask[::-1]).mean() > 0.01
        assert (mask != mask[:, :, ::-1]).mean() > 0.01
    assert (masks[0] != masks[1]).mean() > 0.01
    assert (masks[0] != masks[2]).mean() > 0.01


def test_preprocessed_scans_are_taken_from_their_folder(benchmarks, tmp_path):
    from brains import brain, load, sources

    from patch2loc.data.scans import Scan
    from patch2loc.data.volumes import write

    volume, mask = brain((40, 40, 12))
    for subject in ("a", "b"):
        scan = Scan(subject, tmp_path / subject, "T2")
        scan.folder.mkdir()
        write(scan.volume_path, 300 * volume, np.eye(4))
        write(scan.mask_path, mask, np.eye(4))
    (tmp_path / "c").mkdir()  # left out by preprocessing
    found = sources((192, 192, 100), 3, tmp_path)
    assert [(source.folder.name, source.grid) for source in found] == [("a", mask.shape), ("b", mask.shape)]
    loaded, loaded_mask = load(found[0])
    assert (loaded_mask == mask).all()
    assert np.percentile(loaded[mask], 98) == pytest.approx(1, abs=1e-5)
    with pytest.raises(SystemExit, match="a folder of preprocessed scans expected"):
        sources((192, 192, 100), 3, tmp_path / "c")


def test_a_row_is_of_medians_and_its_ratio_of_values_of_the_same_turn(benchmarks):
    from comparison import compared, key

    ours, other = ("engine", "float32"), ("released", "float32")
    turns = [{key(*ours): time, key(*other): 4 * time + step} for step, time in enumerate((1.0, 2.0, 30.0))]
    row = compared("x", ours, other, turns, "s")
    assert (row["value"], row["against_value"], row["ratio"]) == (2.0, 9.0, 4.0 + 2 / 30)
    assert (row["ratio_low"], row["ratio_high"]) == (
        pytest.approx(4 + 1 / 30),
        pytest.approx(4.283, abs=1e-3),
    )
    assert compared("x", ours, other, turns, "1/s", more_is_faster=True)["ratio"] == pytest.approx(
        1 / (4 + 2 / 30)
    )


def test_peers_that_are_not_installed_are_named_and_the_others_measured(benchmarks, capsys, monkeypatch):
    import peers
    from brains import Source

    for package in ("torchio", "ants"):
        monkeypatch.setitem(sys.modules, package, None)
    rows = peers.measured_peers([Source((40, 40, 12), 0)], 1)
    assert [row["task"] for row in rows] == ["average precision"]
    printed = capsys.readouterr().out
    assert "torchio: not installed" in printed
    assert "pip install antspyx" in printed


def test_the_tables_on_the_page_are_those_that_are_stored(benchmarks):
    import engine_page

    page = engine_page.PAGE.read_text(encoding="utf-8")
    assert engine_page.with_tables(page) == page, "run python benchmarks/engine_page.py"
    ratio = next(line for line in page.splitlines() if line.startswith("| volume, background skipped"))
    assert engine_page.with_tables(page.replace(ratio, ratio.replace("|", "| 99", 1))) == page
