"""DAE whose bottleneck is given what Patch2Loc locates patches by; what it changes without noise is abnormal."""

from patch2loc.method_declaration import Declaration
from patch2loc.methods.dae import METHOD as DAE

METHOD = Declaration(
    order=115,
    as_published=DAE.as_published,
    settings=DAE.settings,
    needs=("patch2loc",),
    state={**(DAE.state or {}), "location": "dictionary"},
)
