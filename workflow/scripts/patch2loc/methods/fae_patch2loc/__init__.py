"""FAE on the features of Patch2Loc's own network, by which a patch is located."""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.fae import METHOD as FAE

METHOD = Declaration(
    order=130,
    as_published=FAE.as_published,
    settings=FAE.settings,
    needs=("patch2loc",),
    state=FAE.state,
)
