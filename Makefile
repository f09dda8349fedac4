# `make` sets up .venv: this package, and the versions in the lock file for TORCH.  Every target does so first.
PYTHON ?= python3
DATA ?= data
CORES ?= all
CONFIG ?= tests/tiny.yaml
KILLS ?= 50
MUTATIONS ?= 2000
SEED ?= 1
VENV := .venv
BIN := $(VENV)/bin
BUILT := $(shell cat $(VENV)/.locked 2>/dev/null)
# cuda, the PyPI wheels, runs on GPUs and CPUs; cpu saves 4.5 GB; .venv keeps its build until another is named.
TORCH ?= $(or $(BUILT),cuda)
LOCK := requirements$(if $(filter cpu,$(TORCH)),-cpu).txt
UV ?= uv
RUN := $(BIN)/python workflow/run.py
# Tests that run the workflow wait for processes to start: one process more than cores. Each takes a file after another,
# in the order of tests/conftest.py.
TOGETHER := --numprocesses 3 --dist loadfile --no-loadscope-reorder
# What all numbers rest on: the invariants of docs/explanation/design.md, metrics and golden outputs, who is tested by
# whom, configuration and schema; and what holds the house together: layers, rules, hashes of code.
ESSENTIAL := $(addprefix tests/,metrics network data evaluate provenance test_files.py test_heatmap.py \
	test_models.py test_second_implementation.py test_standardize.py test_trained.py configuration/test_config.py \
	configuration/test_configuration_file.py configuration/test_method_registry.py engine/test_repeat.py \
	own_scan/test_warnings.py repository/test_layers.py repository/test_rules.py repository/test_tests.py \
	score/test_calibration.py score/test_postprocessing.py \
	score/test_fit_and_score.py::test_nothing_of_a_test_scan_reaches_the_model tables/test_table1.py)
# Whole trainings, which show that something is learnt.
LONG := $(addprefix --deselect tests/network/,test_inference.py::test_half_precision_learns_as_much \
	test_unpadded.py::test_training_learns_where_patches_come_from)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: venv help demo real model waterfall replica rehearsal check test test-all test-slow coverage chaos slurm-test bench lint reference \
	format lock docs release-check clean FORCE

venv: $(VENV)/.complete  ## Set up .venv (other targets do so first). Without GPU libraries: make TORCH=cpu
	@echo "Next: source .venv/bin/activate, then patch2loc --help. Other targets: make help"

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.complete: $(VENV)/.locked pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q workflow/scripts
	@touch $@

$(VENV)/.locked: $(LOCK) $(if $(BUILT),$(if $(filter-out $(BUILT),$(TORCH)),FORCE))
	@case "$(TORCH)" in cpu|cuda) ;; *) echo "TORCH: $(TORCH) found, cpu or cuda expected" >&2; exit 1;; esac
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python %d.%d found, 3.11 or newer expected: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK)
	@echo $(TORCH) >$@

demo: $(VENV)/.complete  ## Run the whole workflow on simulated scans: make demo METHODS=patch2loc,ae,dae, or METHODS=all
	@$(RUN) config/demo.yaml --cores $(CORES) $(if $(METHODS),--config methods='$(if $(filter all,$(METHODS)),all,[$(METHODS)])')

real: $(VENV)/.complete  ## Download real scans and train one T1 model at 2 mm: make real DATA=folder WITHOUT=brats21
	@$(RUN) config/ixi2mm.yaml --cores $(CORES) --config data=$(DATA) $(if $(WITHOUT),without='[$(WITHOUT)]')
	@cat results/real/tables/cases.md

model: $(VENV)/.complete  ## Download scans and retrain the included T1 detector: make model DATA=folder
	@$(RUN) config/model_t1.yaml detectors --cores $(CORES) --config data=$(DATA)

waterfall: $(VENV)/.complete  ## Cumulative ablation, from the authors' recipe to a configuration: make waterfall CONFIG=config/demo.yaml
	@$(BIN)/python workflow/waterfall.py $(CONFIG) --cores $(CORES) $(if $(WITHOUT),--without $(WITHOUT))

replica: $(VENV)/.complete  ## Make all of Table 1 on two simulated subjects per dataset.
	$(BIN)/python tests/support/paper_replica.py results/replica
	@$(RUN) results/replica/replica.yaml --cores $(CORES) table1 table2
	@cat results/replica/results/tables/table1.md

rehearsal: $(VENV)/.complete  ## Rehearse the paper, from (simulated) archives to the report: make rehearsal ALSO=full-disk
	$(BIN)/python tests/support/rehearsal.py results/rehearsal --cores $(CORES) --also $(ALSO)

check: export OMP_NUM_THREADS := 1
check: $(VENV)/.complete  ## Before each commit: lint, and the unit tests behind all numbers (90 seconds).
	@began=$$(date +%s); $(MAKE) --no-print-directory lint && linted=$$(date +%s) && \
	$(BIN)/python -m pytest -m "not slow and not workflow" --numprocesses 2 --dist loadfile $(LONG) $(ESSENTIAL) && \
	echo "lint $$((linted - began)) s, tests $$(($$(date +%s) - linted)) s"

test: export OMP_NUM_THREADS := 1
test: $(VENV)/.complete  ## Run the tests, except the thorough and slow ones: before a pull request.
	$(BIN)/python -m pytest -m "not slow and not slurm and not thorough" $(TOGETHER)

test-all: export OMP_NUM_THREADS := 1
test-all: $(VENV)/.complete  ## Run the thorough tests as well, as CI does.
	$(BIN)/python -m pytest -m "not slow and not slurm" $(TOGETHER)

test-slow: $(VENV)/.complete  ## Run the slow tests.
	$(BIN)/python -m pytest -m slow

coverage: export OMP_NUM_THREADS := 1
coverage: $(VENV)/.complete  ## Measure the coverage of the tests without Snakemake.
	$(BIN)/python -m pytest -m "not slow and not workflow and not slurm and not chaos" -n 2 \
		--cov --cov-report=term-missing

chaos: export OMP_NUM_THREADS := 1
chaos: $(VENV)/.complete  ## Random kills in every rule, and random damage to input: make chaos KILLS=100 MUTATIONS=5000 SEED=3
	MUTATIONS=$(MUTATIONS) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest tests/hostile/test_mutations.py
	KILLS=$(KILLS) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest -m chaos

slurm-test: $(VENV)/.complete  ## Run the workflow on a one-node SLURM, with faults: make slurm-test CONFIG=config/demo.yaml
	SLURM_TEST_CONFIG="$(CONFIG)" SLURM_TEST_LOCAL="$(LOCAL)" SLURM_TEST_TARGETS="$(TARGETS)" \
		$(BIN)/python -m pytest tests/workflow/test_slurm.py -rs --durations=5

bench: $(VENV)/.complete  ## Measure the speed on this machine (10 minutes); to compare: make bench BEFORE=OTHER/workflow/scripts
	$(BIN)/python benchmarks/engine.py $(if $(BEFORE),--before $(BEFORE))
	$(BIN)/python benchmarks/engine_page.py

lint: $(VENV)/.complete  ## Check style, types and spelling.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules workflow/Snakefile
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/python -m patch2loc.configuration.reference --check
	$(BIN)/snakemake --lint --configfile config/demo.yaml

reference: $(VENV)/.complete  ## Write the schema and the page of the configuration's keys anew.
	$(BIN)/python -m patch2loc.configuration.reference

format: $(VENV)/.complete  ## Format code and rules.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules workflow/Snakefile

lock:  ## Rebuild both lock files with uv, keeping versions where possible: make lock UPGRADE=--upgrade
	$(UV) pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-strip-extras \
		--custom-compile-command "make lock" --no-emit-package httpx2-jsfetch $(UPGRADE) pyproject.toml --output-file requirements.txt
	@{ echo "# requirements.txt with the CPU builds of torch, made from it by: make lock"; \
	echo "# Without hashes: pip checks those of all packages or of none, and those of the +cpu builds are not on PyPI."; \
	echo "--extra-index-url https://download.pytorch.org/whl/cpu"; \
	awk '/^ +--hash=/ { next } { sub(/ \\$$/, "") } /^[a-z]/ { gpu = /^(cuda|nvidia)-|^triton==/ } gpu || /^#/ { next } \
		/^torch(vision)?==/ { print $$0 "+cpu ; sys_platform == \047linux\047"; $$0 = $$0 " ; sys_platform != \047linux\047" } 1' \
		requirements.txt; } >requirements-cpu.txt

$(VENV)/.docs: $(VENV)/.complete docs/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	@touch $@

docs: $(VENV)/.docs  ## Build the documentation as an offline site: site/index.html.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

release-check:  ## Before a release: build the last commit, install the wheel in a new environment, run it; what is left for a person.
	$(PYTHON) tests/campaigns/release_check.py

clean:  ## Remove the demo's results.
	rm -rf results/demo
