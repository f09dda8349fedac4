# Files, inputs and params of the rules that make tables and figures.
ENVIRONMENTS = {"statistics": STATISTICS, "network": NETWORK}


def figure(name, caption):
    """Files of a figure: PNG, which is in Snakemake's report, and PDF."""
    png = in_report(RESULTS.figure(name), "Figures", caption, figure=name)
    return {"png": png, "pdf": RESULTS.figure(name, ".pdf")}


def table(name, label, caption, formats):
    """Files of a table: CSV, which is in Snakemake's report, with its provenance, and the formats for people."""
    csv = in_report(RESULTS.table(name), "Tables", caption, table=label, format="CSV")
    paths = {"csv": csv, "provenance": f"{RESULTS.table(name)}{PROVENANCE}"}
    return paths | {key: RESULTS.table(name, READABLE[key]) for key in formats}


def files_of(output):
    """All files of an output."""
    caption, files = output.caption or output.name, {}
    if output.has_table:
        label = output.label or output.name.replace("_", " ")
        files |= table(output.name, label, caption, ["markdown"] if "markdown" in output.kinds else READABLE)
    return files | figure(output.name, caption) if output.has_figure else files


def inputs_of(output):
    """Files that an output is made from; in a run without what it needs, a refusal for whoever asks for it."""
    if not output.is_possible(PLAN):
        return {"needed": lambda wildcards: or_stop(output.check, PLAN)}
    files = {name: workflow.source_path(f"../{path}") for name, path in output.files.items()}
    return {**output.inputs(PLAN), **files}


def params_of(output):
    """The module that makes an output, the hash of its code, and what it is told."""
    params = {
        "module": output.module,
        "code": lambda wildcards: code_hash(output.module, "patch2loc.tables.formats"),
    }
    return params | (output.params(PLAN) if output.is_possible(PLAN) else {})


def caption_of(output):
    """File of the caption of an output."""
    return workflow.source_path(f"../workflow/report/{output.caption or output.name}.rst")
