"""A VAE of patches that is told where they are (paper, section 6): what it does not expect at a place is abnormal."""

from patch2loc.method_declaration import Declaration

METHOD = Declaration(
    role="variant",
    order=52,
    from_patches=True,
    calibrated=True,
    own_settings={"latent": 32},  # as many numbers as the heads of the location network narrow a patch to
    state={"weights": "weights", "widths": "widths", "patch": "patch", "latent": "positive"},
)
