# nav_pkg's commands. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: help setup demo test test-fast bench docs lint pins clean

# Test files side by side. A flight needs one core and a half. Threads that wait for others leave them the core.
JOBS ?= $(shell n=$$(nproc); echo $$((n > 4 ? 4 : n)))
# A test process that dies ends the run: what it had not done would be repeated at the end by one process.
PYTEST = OMP_WAIT_POLICY=PASSIVE python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

help:
	@echo 'make setup   install what is needed on this machine (again: 1 s), then: source env.sh'
	@echo 'make demo    collect, train, fly and report; the result is demo/report.html (SIMULATOR=embedded: without ROS)'
	@echo 'make test    lint and all tests'
	@echo 'make test-fast  lint and the quick tests that need neither ROS, Gazebo nor HTCondor'
	@echo 'make lint    style, Python 3.8, import order of the layers, catkin_lint'
	@echo 'make bench   measure; the result is bench/results.json and docs/performance.md'
	@echo 'make docs    after a change of settings: write the tables in docs/ and graph.launch again'
	@echo 'make pins    after a change of setup/requirements*.txt: write the checksums of all files again'
	@echo 'make clean   remove the build of this checkout (not the environment, not Gazebo)'

setup:
	@setup/setup.sh

demo:
	@SIMULATOR='$(SIMULATOR)' setup/demo.sh

test: setup
	@source ./env.sh && setup/lint.sh && $(PYTEST)

test-fast: setup
	@source ./env.sh && setup/lint.sh && $(PYTEST) -m 'not system and not slow'

bench: setup
	@source ./env.sh && python scripts/bench.py

docs: setup
	@source ./env.sh && python -m nav_pkg.config.reference

lint: setup
	@source ./env.sh && setup/lint.sh

pins:
	@setup/pins.sh

clean:
	rm -rf build
