"""PHANES (Bercea et al. 2023): what a reversed autoencoder finds unlike is painted anew; what that changes is abnormal.

Two stages: a reversed autoencoder (ra) marks a slice where its coarse reconstruction differs; an inpainter fills the
marked part with what fits the rest.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.ra import METHOD as RA

PAINTER = {"painter_widths": [64, 128, 256], "painter_blocks": 8}

METHOD = Declaration(
    role="table1",
    order=150,
    as_published=RA.as_published,
    settings={
        "smoke": {
            **RA.settings["smoke"],
            "steps": 120,
            "batch": 4,
            "painter_widths": [8, 16, 32],
            "painter_blocks": 4,
        },
        "short": {**RA.settings["short"], **PAINTER},
        "paper": {**RA.settings["paper"], **PAINTER},
    },
    pretrained=(*RA.pretrained, "vgg19_imagenet"),
    state={**(RA.state or {}), "threshold": "number", "saliency": "text", "painting": "text"},
    optional_state=RA.optional_state,
)
