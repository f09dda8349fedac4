# Tables and figures: a rule for each output of a run, which patch2loc/plan/outputs.py lists; learning curves.

for output in OUTPUTS.all.values():

    rule:
        name:
            output.name
        input:
            **inputs_of(output),
        output:
            **files_of(output),
        log:
            RESULTS.log(output.name),
        benchmark:
            RESULTS.benchmark(output.name)
        conda:
            ENVIRONMENTS[output.environment]
        resources:
            **growing(**output.resources),
        params:
            **params_of(output),
        script:
            "../workflow/scripts/result.py"

    if workflow.is_rule(output.name):  # not as a module of another workflow
        workflow.get_rule(output.name).docstring = output.about


rule learning_curve:
    input:
        history=RESULTS.history("patch2loc"),
    output:
        **figure("learning_curve_{modality}_fold{fold}", "learning_curve"),
    log:
        RESULTS.log("learning_curve_{modality}_fold{fold}"),
    benchmark:
        RESULTS.benchmark("learning_curve_{modality}_fold{fold}")
    conda:
        STATISTICS
    params:
        module="patch2loc.figures.learning_curve",
        code=lambda wildcards: code_hash("patch2loc.figures.learning_curve"),
        fold=lambda wildcards: wildcards.fold,
        modality=lambda wildcards: wildcards.modality,
        simulated=lambda wildcards: LABELS[PLAN.training_data[wildcards.modality]]["simulated"],
    script:
        "../workflow/scripts/result.py"
