"""The VAE of patches again (paper, section 6): a patch whose latent vector it is unsure of is abnormal.

Its network is that of patch_vae, of the same modality and fold, and is not trained a second time.
"""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.patch_vae import METHOD as PATCH_VAE

METHOD = Declaration(
    role="variant",
    order=54,
    from_patches=True,
    calibrated=True,
    needs=("patch_vae",),
    state=PATCH_VAE.state,
)
