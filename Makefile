# nav_pkg's commands. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: help setup demo test bench lint clean

help:
	@echo 'make setup   install what is needed on this machine (again: 1 s), then: source env.sh'
	@echo 'make demo    collect, train, fly and report; the result is demo/report.html'
	@echo 'make test    lint and all tests'
	@echo 'make lint    style, Python 3.8, import order of the layers, catkin_lint'
	@echo 'make bench   measure; the result is bench/results.json and docs/performance.md'
	@echo 'make clean   remove the build of this checkout (not the environment, not Gazebo)'

setup:
	@setup/setup.sh

demo: setup
	@source ./env.sh && python scripts/demo.py

test: setup
	@source ./env.sh && setup/lint.sh && python -m pytest

bench: setup
	@source ./env.sh && python scripts/bench.py

lint: setup
	@source ./env.sh && setup/lint.sh

clean:
	rm -rf build
