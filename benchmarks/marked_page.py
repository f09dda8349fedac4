"""Parts of pages that benchmarks write: each between a mark and an end."""

END = "<!-- end -->"


def with_part(page: str, name: str, text: str) -> str:
    """A page with other text between the mark `<!-- NAME -->` and the next `<!-- end -->`.

    Raises:
        ValueError: The mark is missing, or another one comes before its end.
    """
    before, mark, rest = page.partition(f"<!-- {name} -->")
    old, end, after = rest.partition(END)
    if not (mark and end) or "<!--" in old:
        raise ValueError(
            f"marks of {name} missing, <!-- {name} --> and {END} expected; write them into the page"
        )
    return f"{before}{mark}\n\n{text}\n\n{end}{after}"
