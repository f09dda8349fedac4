"""pDDPM (Behrendt et al. 2024): as ddpm, with noise in one quarter of a slice at a time, so that the rest is a hint."""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.ddpm import METHOD as DDPM

METHOD = Declaration(
    role="table1",
    order=170,
    as_published=DDPM.as_published,
    settings=DDPM.settings,
    state=DDPM.state,
)
