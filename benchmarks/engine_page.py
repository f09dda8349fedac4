"""Write the tables of engine_{device}.csv and peers_cpu.csv into benchmarks/README.md, between their marks.

python benchmarks/engine_page.py
"""

from pathlib import Path

from comparison import markdown, read_rows
from marked_page import with_part

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER / "README.md"
TABLES = {
    "engine": "The paper's network at 1 mm",
    "engine_avx2": "The paper's network at 1 mm, without AVX-512",
    "engine_narrow": "The narrow network at 2 mm",
    "peers": "Programs of others",
}
DEVICES = ("cpu", "cuda")


def with_tables(page: str) -> str:
    """A page with the tables as they are stored now."""
    parts = [
        f"{title}, {described(path)}:\n\n{markdown(compared)}{figure(path)}"
        for device in DEVICES
        for name, title in TABLES.items()
        if (path := FOLDER / f"{name}_{device}.csv").exists()
        and (compared := [row for row in read_rows(path) if row["ratio"] or row["task"] == "matrix product"])
    ]
    return with_part(page, "engine", "\n\n".join(parts))


def figure(path: Path) -> str:
    """The table's figure, if it was drawn."""
    picture = path.with_suffix(".png")
    return (
        f"\n\n![patches a second against cores, seconds against voxels]({picture.name})"
        if picture.exists()
        else ""
    )


def described(path: Path) -> str:
    """What a table was measured on."""
    row = read_rows(path)[0]
    threads = "1 thread" if row["threads"] == "1" else f"{row['threads']} threads"
    cores = "" if path.stem.endswith("cuda") else f", {threads}"
    return f"{row['machine']}{cores}, torch {row['torch']}, {row['date']} ([{path.name}]({path.name}))"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
