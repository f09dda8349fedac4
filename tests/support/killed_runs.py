"""Results of a killed run beside those of an unbroken one."""

RESULTS = "results/tiny"


def mismatches(folder, expected):
    """Files of results that are not as expected: missing, left over, or tables and scans of other bytes."""
    found, wanted = (
        {path.relative_to(root): path for path in (root / RESULTS).rglob("*") if path.is_file()}
        for root in (folder, expected)
    )
    wrong = [f"missing: {path}" for path in wanted.keys() - found.keys()]
    wrong += [f"left over: {path}" for path in found.keys() - wanted.keys()]
    for path in found.keys() & wanted.keys():
        compared = path.name.endswith(".nii.gz") or ("tables" in path.parts and path.suffix != ".json")
        if compared and found[path].read_bytes() != wanted[path].read_bytes():
            wrong.append(f"other bytes: {path}")
    return sorted(wrong)
