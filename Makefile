# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs.

supported = $(firstword $(foreach p,$(2),$(shell $(p) -c \
  'import sys; print("$(p)" if $(1) <= sys.version_info[:2] else "")' 2>/dev/null)))
PYTHON ?= $(call supported,(3, 13) >= sys.version_info[:2] and (3, 10),\
  python3 python3.13 python3.12 python3.11 python3.10)
PYTHON_ADDONS ?= $(call supported,(3, 11) >= sys.version_info[:2] and (3, 9),\
  python3 python3.11 python3.10 python3.9)
# tfrecords_tools and rlstm_tf of this checkout, with the packages of each stack.
RUN = .venv/bin/python
RUN_ADDONS = .venv-addons/bin/python
# The versions that the tests passed with, on the Python that they are known for: 3.11.
pins = $(shell $(1) -c 'import sys; \
  print("--constraint constraints/$(2).txt" if sys.version_info[:2] == (3, 11) else "")' 2>/dev/null)
INSTALL = $(RUN) -m pip install --quiet $(call pins,$(PYTHON),default)
INSTALL_ADDONS = $(RUN_ADDONS) -m pip install --quiet $(call pins,$(PYTHON_ADDONS),addons)
# Measured steps that the hours of the paper's runs are estimated from.
STEPS = benchmarks/results/steps.csv

.PHONY: help demo paper-demo paper-commands test test-addons test-faults test-all \
  update lint format docs benchmark jhmdb

help:
	@echo "make demo         install, then: videos, records, training, test, export (15 minutes)"
	@echo "make paper-demo   every run behind the paper's tables, in small, and the report (30 to 50 minutes)"
	@echo "make paper-commands  prints those runs as they are for the data sets of the paper"
	@echo "make test         install, then run the tests (TensorFlow 2.21, Keras 3)"
	@echo "make test-addons  what depends on the stack, on TensorFlow 2.15 and its addons; installs both"
	@echo "make test-faults  kills, full disks, damaged files, as often as docs/reliability.md says"
	@echo "make test-all     before a release: all tests, faults and backbones, of both stacks"
	@echo "make update       installs the newest versions and pins them in constraints/"
	@echo "make lint         formatter, linter, type checker"
	@echo "make docs         the documentation as a site, in site/"
	@echo "make benchmark    speed, as ratios"
	@echo "make jhmdb VIDEOS=DIR SPLITS=DIR   every network on the splits of J-HMDB (docs/jhmdb.md)"

.venv/installed: setup.cfg pyproject.toml constraints/default.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.10 - 3.13 found; make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	@touch $@

# The S3 server of the tests, second: else pip would take another botocore than s3fs allows, or look
# for minutes for releases of both that agree. (make update has no pins to go by.)
define install_s3server
	$(1) -m pip freeze | grep '^botocore==' > $(2)/botocore.txt || true
	$(1) -m pip install --quiet --constraint $(2)/botocore.txt $(3) --editable '.[s3server]'
endef

.venv/installed-dev: .venv/installed
	$(INSTALL) --editable '.[dev,stores,jax,beam,litert,onnx]'
	$(call install_s3server,$(RUN),.venv,$(call pins,$(PYTHON),default))
	@touch $@

.venv-addons/installed-dev: setup.cfg pyproject.toml constraints/addons.txt
	@test -n "$(PYTHON_ADDONS)" || \
	  { echo "error: no Python 3.9 - 3.11 found; make PYTHON_ADDONS=..." >&2; exit 2; }
	$(PYTHON_ADDONS) -m venv .venv-addons
	$(INSTALL_ADDONS) --editable '.[dev,addons,beam]'
	$(call install_s3server,$(RUN_ADDONS),.venv-addons,$(call pins,$(PYTHON_ADDONS),addons))
	@touch $@

# A test video of the demo, and a genuine clip where there is one.
DEMO_VIDEO = data/demo/videos/Approach/v_Approach_g02_c01.avi
REAL_CLIP = $(firstword $(wildcard ../shared/real/hmdb51/videos/*/*.avi))

.venv/installed-demo: .venv/installed
	$(INSTALL) --editable '.[report,serving]'
	@touch $@

demo: .venv/installed-demo
	$(RUN) -m tfrecords_tools.demo --output=data/demo
	$(RUN) -m tfrecords_tools.build --dataset=ucf101 --split=1 --val_share=0.1 \
	  --videos=data/demo/videos --splits=data/demo/ucfTrainTestlist \
	  --short_side=64 --shards=4 --output=data/demo/records
	$(RUN) -m rlstm_tf.train --flagfile=configs/demo.cfg --resume
	$(RUN) -m rlstm_tf.evaluate --run_dir=runs/demo --split=test
	$(RUN) -m rlstm_tf.export --run_dir=runs/demo --output=saved_models/demo
	$(RUN) -m rlstm_tf.predict $(DEMO_VIDEO) $(if $(REAL_CLIP),'$(REAL_CLIP)') --model=saved_models/demo
	$(RUN) -m rlstm_tf.explain $(DEMO_VIDEO) --run_dir=runs/demo --output=runs/demo/relations.html
	@echo "run:         runs/demo"
	@echo "metrics:     runs/demo/evaluation/test/metrics.json"
	@echo "model:       saved_models/demo"
	@echo "relations:   runs/demo/relations.html (open it in a browser)"
	@echo "TensorBoard: .venv/bin/tensorboard --logdir runs/demo/tensorboard"

.venv/installed-report: .venv/installed
	$(INSTALL) --editable '.[report]'
	@touch $@

paper-demo: .venv/installed-report
	$(RUN) -m rlstm_tf.recipe --demo > .venv/paper_demo.sh
	PATH="$(CURDIR)/.venv/bin:$$PATH" sh -e .venv/paper_demo.sh
	@echo "the report: runs/paper_demo_report/index.html"

paper-commands: .venv/installed
	@$(RUN) -m rlstm_tf.recipe --steps=$(STEPS)

# Test processes, of one thread each.
WORKERS ?= 2
PYTEST = -m pytest --numprocesses=$(WORKERS) --dist=worksteal
SELECT = -m "not fault"

test: .venv/installed-dev
	$(RUN) $(PYTEST) $(SELECT)

# With the default stack beside it: tests/stacks/test_across_stacks.py hands the work of each to the other.
test-addons: .venv-addons/installed-dev .venv/installed-dev
	$(RUN_ADDONS) $(PYTEST) -m stacks

test-faults: .venv/installed-dev
	$(RUN) $(PYTEST) -m fault --thorough

test-all: .venv/installed-dev .venv-addons/installed-dev
	$(RUN) $(PYTEST) --thorough
	$(RUN_ADDONS) $(PYTEST) --thorough -m "stacks or integration"

# Newest versions that setup.cfg allows: run the tests, then commit what has changed in constraints/.
update:
	rm -rf .venv .venv-addons
	$(MAKE) .venv/installed-dev .venv-addons/installed-dev pins=
	$(call freeze,$(RUN),default)
	$(call freeze,$(RUN_ADDONS),addons)

define freeze
	( echo "# make update: the packages that the tests of this stack passed with, on Python 3.11." && \
	  $(1) -m pip freeze --exclude-editable ) > constraints/$(2).txt
endef

lint: .venv/installed-dev
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

format: .venv/installed-dev
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

.venv/installed-docs: .venv/installed
	$(INSTALL) --editable '.[docs]'
	@touch $@

# Fails where a link leads nowhere.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build
	@echo "the documentation: site/index.html"

# A missed target is printed and does not fail; CONTRIBUTING.md describes each benchmark.
benchmark: .venv/installed-dev
	$(RUN) -m benchmarks.layers
	$(RUN) -m benchmarks.growth
	$(RUN) -m benchmarks.models
	$(RUN) -m benchmarks.cached_maps
	$(RUN) -m benchmarks.input
	$(RUN) -m benchmarks.records
	$(RUN) -m benchmarks.serving
	$(RUN) -m benchmarks.startup

# Resumed by the same command. ARGS: a portion, as `python -m benchmarks.jhmdb --help` says.
jhmdb: .venv/installed-dev
	@test -n "$(VIDEOS)" && test -n "$(SPLITS)" || \
	  { echo "error: give both directories of J-HMDB: make jhmdb VIDEOS=DIR SPLITS=DIR" >&2; exit 2; }
	$(RUN) -m benchmarks.jhmdb --videos='$(VIDEOS)' --splits='$(SPLITS)' $(ARGS)
