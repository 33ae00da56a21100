# Ambienti. `make demo` and `make test` install all they need on a fresh Debian 12 (root or sudo).
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test coverage lab lab-try lab-down lab-status bench docs reference check format clean packages-demo packages-test

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
VENV := .venv
PYTHON := $(VENV)/bin/python
RUN_PACKAGES := python3-venv python3-dev gcc pkg-config libvirt-dev
TEST_PACKAGES := $(RUN_PACKAGES) libvirt-daemon libvirt-daemon-driver-lxc libvirt-daemon-driver-qemu libvirt-clients \
  qemu-system-x86 qemu-utils mmdebstrap e2fsprogs cpio kmod busybox-static openssh-client xz-utils zstd binutils \
  procps iproute2 util-linux dnsmasq-base openvswitch-switch tgt libvirt-daemon-driver-storage-iscsi-direct \
  qemu-block-extra postgresql-15 graphviz chromium libpangoft2-1.0-0 libharfbuzz-subset0 poppler-utils fonts-dejavu-core \
  ca-certificates debian-archive-keyring

# Nothing that is installed is started: the tests start what they need, in directories of their own.
define install
	@missing=$$(dpkg-query -W -f='$${db:Status-Abbrev} $${Package}\n' $(1) 2>/dev/null | awk '$$1=="ii"{print $$2}' \
	  | sort -u | comm -13 - <(tr ' ' '\n' <<<"$(1)" | grep . | sort -u)); \
	if [ -n "$$missing" ]; then echo "installing Debian packages:" $$missing; \
	  $(SUDO) mkdir -p /etc/postgresql-common; \
	  [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' | $(SUDO) tee /etc/postgresql-common/createcluster.conf >/dev/null; \
	  log=$$(mktemp); started=/usr/sbin/policy-rc.d; trap 'rm -f "$$log"' EXIT; \
	  [ -e $$started ] || { printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $$started >/dev/null; $(SUDO) chmod 755 $$started; \
	    trap 'rm -f "$$log"; $(SUDO) rm -f '$$started EXIT; }; \
	  $(SUDO) apt-get -q update >/dev/null && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$missing >"$$log" 2>&1 \
	  || { tail -20 "$$log"; exit 1; }; fi
endef

help: ## this text
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

packages-demo:
	$(call install,$(RUN_PACKAGES))

packages-test:
	$(call install,$(TEST_PACKAGES))

$(VENV)/bin/python: | packages-demo
	python3 -m venv $(VENV)

$(VENV)/.run: pyproject.toml | packages-demo $(VENV)/bin/python
	$(VENV)/bin/pip install -q --disable-pip-version-check -e '.[libvirt,report]'
	@touch $@

$(VENV)/.test: pyproject.toml | packages-test $(VENV)/bin/python
	$(VENV)/bin/pip install -q --disable-pip-version-check -e '.[htcondor,libvirt,dns,postgresql,report,notify,docs,test]'
	@touch $@ $(VENV)/.run

demo: $(VENV)/.run ## one minute of the real daemon on embedded defaults
	$(VENV)/bin/ambienti demo $(DEMO)

test: $(VENV)/.test ## everything that proves the project, real systems included
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -m pytest -n 4 --dist loadgroup --no-loadscope-reorder $(PYTEST)

coverage: $(VENV)/.test ## the same tests, and which lines they reach
	$(PYTHON) -m pytest -n 4 --dist loadgroup --no-loadscope-reorder --cov $(PYTEST)

lab: $(VENV)/.test ## a real farm on this machine: HTCondor, libvirt, LXC, QEMU and Xen workers
	$(PYTHON) -m tests.lab up $(LAB)

lab-try: $(VENV)/.test ## a job of each VO in each lane of the running lab
	$(PYTHON) -m tests.lab try $(LAB)

lab-status: ## what runs in the lab
	$(PYTHON) -m tests.lab status

lab-down: ## stop the lab
	$(PYTHON) -m tests.lab down

bench: $(VENV)/.test ## every figure of docs/benchmarks.md, measured now
	$(PYTHON) -m tests.bench $(BENCH)

reference: $(VENV)/.test ## write docs/reference/ anew from the code
	$(PYTHON) -m scheduler.commands.reference docs/reference

docs: $(VENV)/.test ## build the documentation into site/
	$(VENV)/bin/mkdocs build --strict -q

check: $(VENV)/.test ## the quick half of the tests: pure, scenarios, seeds
	$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check . && $(VENV)/bin/mypy && $(VENV)/bin/lint-imports
	$(PYTHON) -m pytest -q -m 'not real' $(PYTEST)

format: $(VENV)/.test
	$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

clean: lab-down
	rm -rf $(VENV) .lab .demo site bench-results
