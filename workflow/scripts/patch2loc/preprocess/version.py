"""Version of the numbers that preprocessing makes, by which a model tells that its training scans had other ones."""

# Raised by hand when a preprocessed scan gets other numbers, never for anything else: a model of another version is
# told of with every scan that it scores. tests/preprocess/test_version.py holds the numbers of this version.
PREPROCESSING_VERSION = 1
