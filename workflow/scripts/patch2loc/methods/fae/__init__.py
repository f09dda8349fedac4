"""FAE (Meissen et al. 2022): an autoencoder of the features that a ResNet-18 of ImageNet finds in a slice.

Without the weights of ImageNet the ResNet-18 keeps random ones, an ablation of the method's authors; the state and the
history say which it is.
"""

from patch2loc.method_declaration import Declaration

PAPER = {
    "steps": 10000,
    "batch": 32,
    "learning_rate": 2e-4,
    "widths": [100, 150, 200, 300],
    "validations": 50,
    "validation_slices": 512,
}

METHOD = Declaration(
    role="table1",
    order=120,
    as_published={"erosion": 3, "median": 5},
    settings={
        "smoke": PAPER
        | {"steps": 200, "batch": 8, "learning_rate": 1e-3, "widths": [32, 48, 64, 96]}
        | {"validations": 5, "validation_slices": 64},
        "short": PAPER | {"steps": 800, "batch": 16, "learning_rate": 5e-4, "validations": 10},
        "paper": PAPER,
    },
    pretrained=("resnet18_imagenet",),
    state={"weights": "weights", "network": "dictionary", "spacing": "spacing", "extractor": "dictionary"},
)
