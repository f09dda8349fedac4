"""Make the pictures of the how-to pages, from results of `patch2loc detect` and of the demo.

    patch2loc detect BraTS2021_00006_t1.nii.gz -o glioma
    patch2loc detect IXI277-HH-1770_t1.nii.gz -o healthy
    .venv/bin/python docs/images/make_pages_pictures.py wrong-mask healthy/heatmap.nii.gz wrong.nii.gz
    patch2loc detect IXI277-HH-1770_t1.nii.gz --mask wrong.nii.gz -o wrong
    .venv/bin/python docs/images/make_pages_pictures.py pictures glioma healthy wrong results/demo

The pages are photographed by Chromium (variable CHROMIUM: its path), 1280 x 800.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from patch2loc.figures.slices import median_subject

HERE = Path(__file__).resolve().parent
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=8000",
    "--window-size=1280,800",
]
SCANS = {
    "report": "Scan: BraTS 2021, case 00006 (Baid et al. 2021), CC BY 4.0",
    "qc": "Scan: IXI, person 277 (brain-development.org), CC BY-SA 3.0. Picture: CC BY-SA 3.0",
}
MAIL_ROW = 1166  # pixels of picture.png: down to the first row of slices
CUT = 0.42  # share of the brain's height that the wrong mask lacks
# Axial and coronal slices of qc.png, pixels: the middle of the head, without the face.
QC_PANELS = ((272, 28, 544, 292), (0, 304, 272, 558))
QC_TITLES = ("Good mask: it follows the brain", "Bad mask: the lower part of the brain is cut off")
QC_SCALE, QC_TITLE = 1.25, 44


def save(picture: Image.Image, name: str, method: Image.Quantize = Image.Quantize.FASTOCTREE) -> None:
    """Write a picture with a palette of 256 colors."""
    path = HERE / name
    picture.convert("RGB").quantize(256, method=method, kmeans=2).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def photograph(page: Path, address: str = "") -> Image.Image:
    """The first screen of a page, at an address in it."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        arguments = [f"--user-data-dir={folder}/profile", f"--screenshot={shot}"]
        call = [CHROMIUM, *OPTIONS, *arguments, page.resolve().as_uri() + address]
        subprocess.run(call, check=True, capture_output=True, timeout=120)
        return Image.open(shot).convert("RGB")


def letters(size: int) -> ImageFont.FreeTypeFont:
    """The font of the pictures."""
    return ImageFont.truetype("DejaVuSans.ttf", size)


def with_credit(picture: Image.Image, credit: str, background: str) -> Image.Image:
    """A picture with a line below it that credits the scan."""
    whole = Image.new("RGB", (picture.width, picture.height + 30), background)
    whole.paste(picture)
    light = sum(Image.new("RGB", (1, 1), background).getpixel((0, 0))) > 384
    ImageDraw.Draw(whole).text(
        (12, picture.height + 6), credit, "#555555" if light else "#b8c0cc", letters(14)
    )
    return whole


def quality_picture(good: Path, wrong: Path) -> Image.Image:
    """Slices of qc.png of a scan with a good mask, and beside them with a wrong one."""
    width = sum(round((right - left) * QC_SCALE) for left, _, right, _ in QC_PANELS)
    height = max(round((bottom - top) * QC_SCALE) for _, top, _, bottom in QC_PANELS)
    whole = Image.new("RGB", (2 * width + 24, QC_TITLE + height), "black")
    draw = ImageDraw.Draw(whole)
    for half, (folder, title) in enumerate(zip((good, wrong), QC_TITLES, strict=True)):
        picture = Image.open(folder / "preprocessed" / "qc.png").convert("RGB")
        place = half * (width + 24)
        draw.text((place + 16, 12), title, "white", letters(20))
        for box in QC_PANELS:
            panel = picture.crop(box)
            size = (round(panel.width * QC_SCALE), round(panel.height * QC_SCALE))
            whole.paste(panel.resize(size, Image.Resampling.LANCZOS), (place, QC_TITLE))
            place += size[0]
    return with_credit(whole, f"Blue: the atlas. Yellow: the mask. {SCANS['qc']}", "black")


def make_pictures(glioma: Path, healthy: Path, wrong: Path, demo: Path) -> None:
    """Make all pictures."""
    report = photograph(glioma / "report.html")
    save(with_credit(report, SCANS["report"], "#101418"), "report.png")
    mail = Image.open(glioma / "picture.png").convert("RGB")
    mail = mail.crop((0, 0, mail.width, MAIL_ROW)).resize((800, round(MAIL_ROW * 800 / mail.width)))
    save(with_credit(mail, SCANS["report"], "white"), "picture.png")
    save(photograph(demo / "report.html"), "run_report.png")
    metrics = pd.read_csv(demo / "metrics/patch2loc/phantom_tumor/fold0.csv", dtype={"subject": str})
    viewer = photograph(demo / "report/viewer.html", f"#scan=phantom_tumor/{median_subject(metrics)}")
    save(viewer, "viewer.png")
    save(quality_picture(healthy, wrong), "qc.png", Image.Quantize.MEDIANCUT)
    methods = Image.open(demo / "figures/methods.png").convert("RGB")
    save(methods.resize((round(methods.width * 0.55), round(methods.height * 0.55))), "methods.png")


def write_wrong_mask(heatmap: Path, output: Path) -> None:
    """Write the brain of a heatmap on the scan's voxels, without its lower part."""
    image = nibabel.load(heatmap)
    brain = np.isfinite(np.asarray(image.dataobj)) & (np.asarray(image.dataobj) != 0)
    places = np.argwhere(brain)
    heights = nibabel.affines.apply_affine(image.affine, places)[:, 2]
    lower = places[heights < heights.min() + CUT * np.ptp(heights)]
    brain[tuple(lower.T)] = False
    nibabel.Nifti1Image(brain.astype(np.uint8), image.affine).to_filename(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for command, function, names in (
        ("pictures", make_pictures, ("glioma", "healthy", "wrong", "demo")),
        ("wrong-mask", write_wrong_mask, ("heatmap", "output")),
    ):
        subparser = commands.add_parser(command)
        subparser.set_defaults(function=function)
        for name in names:
            subparser.add_argument(name, type=Path)
    arguments = vars(parser.parse_args())
    arguments.pop("function")(**arguments)
