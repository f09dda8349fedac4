"""Methods of lesion detection, one folder each, reached by name (`patch2loc.method_interface`)."""
