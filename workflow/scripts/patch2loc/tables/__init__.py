"""The tables: what each holds, how it is laid out, the formats it is written in."""
