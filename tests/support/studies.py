"""BIDS studies of empty files, for tests of what is planned: patients and controls in one root."""

CONFIGURATION = """
preset: cpu-2mm
results: results/study
training_data: {T1: controls}
datasets:
  controls: {title: Controls, modality: T1, role: healthy, where: {group: control},
             split: {validation: 10, test: 20, seed: 1}, source: {kind: bids, root: study}}
  patients: {title: Patients, modality: T1, role: unlabeled, where: {group: patient},
             source: {kind: bids, root: study}}
"""


def write_study(root, patients=20, controls=100, suffixes=("T1w",), *, without_scan=()):
    """Write participants.tsv, as Excel does with a byte-order mark, and empty scans: the patients are the first."""
    root.mkdir(parents=True, exist_ok=True)
    rows = ["participant_id\tage\tsex\tgroup\tsite"]
    for index in range(1, patients + controls + 1):
        name = f"sub-{index:03d}"
        group = "patient" if index <= patients else "control"
        age = "n/a" if index % 10 == 0 else 20 + index % 50
        rows.append(f"{name}\t{age}\t{'MF'[index % 2]}\t{group}\t{'NSS'[index % 3]}")
        for suffix in suffixes:
            path = root / name / "anat" / f"{name}_{suffix}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            if (name, suffix) not in without_scan:
                path.touch()
    (root / "participants.tsv").write_text("\ufeff" + "\n".join(rows) + "\n", encoding="utf-8")
