"""Methods of lesion detection, one module each."""
