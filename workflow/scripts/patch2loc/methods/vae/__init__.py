"""VAE (Baur et al. 2021): a dense variational autoencoder of axial slices; the residual is the score."""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.ae import METHOD as AE

METHOD = Declaration(
    role="table1",
    order=90,
    as_published=AE.as_published,
    settings={budget: {**settings, "dropout": 0.1} for budget, settings in AE.settings.items()},
    state=AE.state,
)
