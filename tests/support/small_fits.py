"""Every method that trains a network, trained for some steps on small scans."""

from scans import disc_scans

from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.method_interface import declaration, method

LOCATION = (
    "patch2loc",
    "patch2loc_robust",
    "patch2loc_unpadded",
    "patch2loc_robust_unpadded",
    "patch2loc_multiscale",
    "patch2loc_robust_multiscale",
    "patch2loc_covered",
)
PATCH = ("patch_vae",)  # that does not locate
SLICE = ("ae", "vae", "svae", "dae", "fae", "ra", "phanes", "ddpm", "pddpm", "cddpm")
SLICE += ("dae_patch2loc", "patch2loc_inpainted")  # with a location network
DIFFUSION = ("ddpm", "pddpm", "cddpm")  # that need optional packages
SHAPE = (40, 36, 6)
RUN = {"seed": 1, "spacing": 2.0, "precision": "float32"}
TRAINING = {
    "widths": [4, 4, 8, 8],
    "patch": 12,
    "batch": 32,
    "learning_rate": 0.01,
    "schedule": "constant",
    "averaging": 0.9,
    "validation_patches": 32,
    "validations": 1,
}
TINY = {
    "ae": {"widths": [8, 8], "latent": 4},
    "vae": {"widths": [8, 8], "latent": 4},
    "svae": {"widths": [8, 8], "latent": 4, "heads": 2, "feedforward": 8, "batch": 1},
    "dae": {"widths": [8, 16, 16, 32]},
    "dae_patch2loc": {"widths": [8, 16, 16, 32]},
    "fae": {"widths": [4, 4, 4, 4]},
    "ra": {"widths": [4, 4, 4], "latent": 4},
    "phanes": {"widths": [4, 4, 4], "latent": 4, "painter_widths": [4, 4, 4], "painter_blocks": 1},
    "patch2loc_inpainted": {"widths": [4, 4, 4], "blocks": 1},
    "ddpm": {"widths": [8, 8, 8], "blocks": 1, "noise_fields": 1},
    "pddpm": {"widths": [8, 8, 8], "blocks": 1, "noise_fields": 1},
    "cddpm": {"widths": [8, 8, 8], "blocks": 1, "noise_fields": 1, "encoder_widths": [4, 4, 4, 4]}
    | {"pretraining_steps": 1},
}


def small_fit(name, steps, checkpoint=None, device="cpu", **changed):
    """State and history of a method that was trained for some steps, with a validation at the end."""
    module, declared = method(name), declaration(name)
    scans, others = disc_scans(3, 0, SHAPE), disc_scans(1, 9, SHAPE)
    if name in (*LOCATION, *PATCH):
        networks = len(declared.own_settings.get("sizes", [1]))
        length = {"patches": 32 * steps * networks, "validations": networks}
        settings = TRAINING | length | resolve_settings(name, "smoke") | RUN
    else:
        few = {"steps": steps, "validations": 1, "validation_slices": 4}
        changes = {"batch": 4} | TINY[name] | few
        pretrained = dict.fromkeys(declared.pretrained)
        models = {needed: small_fit(needed, 1, device=device)[0] for needed in declared.needs}
        settings = (
            resolve_settings(name, "smoke", changes) | RUN | {"pretrained": pretrained, "models": models}
        )
    return module.fit(scans, others, settings | changed, checkpoint, device=device)
