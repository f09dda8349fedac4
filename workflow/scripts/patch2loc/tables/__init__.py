"""Tables of the report: their contents, their layout, and the formats that they are written in."""
