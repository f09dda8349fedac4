"""The sentence that goes with every report about a person."""

DISCLAIMER = "Research software, not a medical device. Have the scan read by a qualified person."
