# Whose scans: sources, subject lists, roles, and what is missing.
def subject_list(name):
    """CSV of a dataset's subjects, or None: of two lists, the one that `split` chooses."""
    given = DATASETS[name]["split"]
    return given[config["split"]] if isinstance(given, dict) else given


def described(name):
    """A dataset as patch2loc.acquire takes it: its source, modality, subject list and place of simulated scans."""
    dataset = DATASETS[name]
    source = dataset["source"]
    described = {"name": name, "modality": dataset["modality"], "subjects": subject_list(name), **source}
    if source["kind"] == "phantom":
        described["root"] = f"{RESULTS}/raw"
    elif source["kind"] == "painted":
        described |= {"root": f"{RESULTS}/raw/{name}", "data": config["data"]}
    else:
        described["root"] = str(Path(config["data"], source.get("root", ".")))
    return described


@cache
def given_scans(name):
    """Paths of every subject's scan, brain mask and lesion mask, as they are given."""
    try:
        return sources.sources(described(name))
    except InputError as error:
        raise WorkflowError(str(error)) from error


@cache
def scans(name):
    """Paths of every subject's scan, brain mask and lesion mask: of a DICOM series, what it is converted to."""
    modality = DATASETS[name]["modality"]
    try:
        kept = splits.without(given_scans(name), DATASETS[name]["leave_out"], f"datasets.{name}.leave_out")
    except InputError as error:
        raise WorkflowError(str(error)) from error
    return {
        subject: (
            {**paths, "scan": Path(f"{RESULTS}/raw/{name}/{subject}/{modality}.nii.gz")}
            if sources.is_series(paths["scan"])
            else paths
        )
        for subject, paths in kept.items()
    }


@cache
def divided(name):
    """Whether a dataset has subjects that are not tested.

    Training data, healthy ones with a list, and lesion ones whose list has a column `role`.
    """
    dataset = DATASETS[name]
    if dataset["role"] == "lesion":
        return "role" in list_columns(name)
    if dataset["role"] != "healthy":
        return False
    return name in config["training_data"].values() or bool(dataset["split"]) or "test" in dataset["source"]


def listed(name):
    """The subject list of a dataset as a table, or None."""
    try:
        return splits.read(subject_list(name)) if subject_list(name) else None
    except InputError as error:
        raise WorkflowError(str(error)) from error


def list_columns(name):
    """Columns of a dataset's subject list; none without a list."""
    table = listed(name)
    return [] if table is None else list(table.columns)


def makes_calibrations(wildcards):
    """Condition: the dataset's validation scans are those that calibrations are made of."""
    return wildcards.dataset in config["training_data"].values()


def validates_lesions(wildcards):
    """Condition: the dataset has validation scans with lesions."""
    return wildcards.dataset in LESION and divided(wildcards.dataset)


@cache
def sites(name):
    """Site of each scan of a dataset whose subject list has a column `site`: {scan: site}; {} without one."""
    if "site" not in list_columns(name):
        return {}
    of_subject = listed(name).set_index("subject")["site"]
    return {
        scan: site
        for subject, site in of_subject.items()
        if site
        for scan in sources.scans_of(DATASETS[name]["source"], scans(name), [subject])
    }


def listed_roles(name, fold):
    """Subjects of a dataset's list by their role in a fold."""
    modality = DATASETS[name]["modality"]
    try:
        return splits.roles(subject_list(name), fold, modality, config["split"] == "published")
    except InputError as error:
        raise WorkflowError(str(error)) from error


@cache
def roles(name, fold):
    """Subjects of a divided dataset by their role in a fold."""
    source = DATASETS[name]["source"]
    try:
        if subject_list(name):
            listed = listed_roles(name, fold)
            found = {role: sources.scans_of(source, scans(name), listed[role]) for role in splits.ROLES}
        elif source["kind"] == "phantom":
            table = splits.divide(list(scans(name)), source["validation"], source["test"])
            found = {role: list(table.loc[table[f"fold{fold}"] == role, "subject"]) for role in splits.ROLES}
        else:
            raise InputError(
                f"datasets.{name}: no `split` found, a CSV of who trains and who is tested expected"
            )
    except InputError as error:
        raise WorkflowError(str(error)) from error
    if name in config["training_data"].values() and not (found["train"] and found["validation"]):
        raise WorkflowError(
            f"datasets.{name}: {len(found['train'])} training and {len(found['validation'])} validation scans in "
            f"fold {fold}, some of each expected for training data; add a column fold{fold} to its list"
        )
    return found


@cache
def subjects(name, fold=None, role="test"):
    """Subjects of a dataset: those of a role in a fold where it is divided, else all."""
    return roles(name, int(fold))[role] if divided(name) else list(scans(name))


def stop_for_trained_scans():
    """Refuse a scan that trains or validates in one dataset and is tested in another one.

    Or in the same one, under another name, except for training data: their published lists do so, and say it.
    """
    validated = [name for name in LESION if divided(name)]
    for trained in [*config["training_data"].values(), *validated]:
        for fold in FOLDS:
            known = roles(trained, fold)
            seen = {given_scans(trained)[subject]["scan"] for subject in known["train"] + known["validation"]}
            for name in DATASETS:
                tested = subjects(name, fold) if name != trained or name in validated else []
                leaked = [subject for subject in tested if made_from(name)[subject]["scan"] in seen]
                if leaked:
                    raise WorkflowError(
                        f"datasets.{name}: {len(leaked)} test scans are training or validation scans of {trained} in "
                        f"fold {fold} ({', '.join(leaked[:5])}), none expected; take them off one of the lists"
                    )


@cache
def made_from(name):
    """Paths of the scans of a dataset, or of those that they are painted into."""
    return (
        sources.pairs(described(name)) if DATASETS[name]["source"]["kind"] == "painted" else given_scans(name)
    )


stop_for_trained_scans()

# Site of each scan, of the datasets with numbers whose lists name it.
SITES = {name: found for name in LESION + HEALTHY if (found := sites(name))}


def known_subjects(name):
    """Subjects of a dataset in any role."""
    return list(scans(name))


def given_parts(wildcards):
    """Input function: a subject's scan, and brain and lesion where given; one message if data are missing."""
    stop_for_missing_data()
    given = scans(wildcards.dataset)[wildcards.subject]
    return {part: str(path) for part, path in given.items() if path}


def stop_for_missing_data():
    """One message about every dataset of the configuration that is not there."""
    if message := missing_data():
        raise WorkflowError(message)


@cache
def missing_data():
    return registry.missing_data_message(needed_data(), known_data(), config["data"])


def needed_data():
    """Datasets of the configuration as patch2loc.acquire takes them, by name, and the atlas."""
    needed = {name: described(name) for name in DATASETS}
    if ATLAS != "icbm152":
        needed["sri24"] = {"name": "sri24", "kind": "atlas", "root": ATLAS, "registry": "sri24"}
    return needed


@cache
def known_data():
    """The registry."""
    return registry.read(workflow.source_path("../config/registry.csv"))
