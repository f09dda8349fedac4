"""Patch2Loc's networks: a patch and the height of its slice in, where it comes from out."""

from patch2loc.network.location import LocationNetwork

__all__ = ["LocationNetwork"]
