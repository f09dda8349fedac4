"""The rows of the table `ablations`, and of the table `seeds`."""

from patch2loc.configuration.ablation_rows import AblationRow
from patch2loc.configuration.method_names import table_rows
from patch2loc.configuration.method_registry import runs_network
from patch2loc.configuration.variants import ablation_row, base_row
from patch2loc.plan.plan import Plan


def ablation_rows(plan: Plan) -> dict[str, AblationRow]:
    """Rows of the table `ablations` by name: methods with variants, these, and combinations with one."""
    with_variant = [name for name in plan.combinations if plan.has_variant(name)]
    bases = {name: base_row(plan.parts(name)) for name in [*plan.variants, *with_variant]}
    training_scans = max(
        len(plan.datasets[name].subjects(plan.folds[0], "train")) for name in plan.training_data.values()
    )
    return {
        name: ablation_row(name, base, plan.parts(name), plan.config, training_scans)
        for name, base in ({base: base for base in bases.values()} | bases).items()
    }


def repeated_methods(plan: Plan) -> list[str]:
    """Rows of methods that are trained with several seeds: those that run a network."""
    rows = table_rows([name for name in plan.methods if runs_network(name)])
    return rows if plan.config["seeds_of_first_fold"] > 1 else []
