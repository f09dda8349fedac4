"""cDDPM (Behrendt et al. 2025): as ddpm, with a description of the clean slice as a hint."""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.ddpm import METHOD as DDPM

ENCODER = {"encoder_widths": [64, 128, 256, 512]}

METHOD = Declaration(
    role="table1",
    order=180,
    as_published=DDPM.as_published,
    settings={
        "smoke": {
            **DDPM.settings["smoke"],
            "encoder_widths": [8, 16, 32, 64],
            "pretraining_steps": 60,
        },
        "short": {**DDPM.settings["short"], **ENCODER, "steps": 3600, "pretraining_steps": 3600},
        "paper": {**DDPM.settings["paper"], **ENCODER, "steps": 14400, "pretraining_steps": 14400},
    },
    state=DDPM.state,
)
