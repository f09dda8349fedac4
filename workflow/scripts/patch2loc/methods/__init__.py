"""Methods of lesion detection, one module each, reached by name (`patch2loc.method_interface`)."""
