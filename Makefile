# `make demo` and `make test` do all the set-up on a machine that has git, make and Python >= 3.11 with venv.

# uv where it is installed, otherwise in a folder of the project's own.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
UV_READY := $(if $(filter .uv/bin/uv,$(UV)),.uv/bin/uv)

# Where pip finds wheels beside its index, uv looks too (a CPU build of torch, say). pip separates them by spaces, uv by commas.
FIND_LINKS := $(or $(PIP_FIND_LINKS),$(shell python3 -m pip config get global.find-links 2>/dev/null))
empty :=
space := $(empty) $(empty)
comma := ,
ifneq ($(strip $(FIND_LINKS)),)
export UV_FIND_LINKS ?= $(subst $(space),$(comma),$(strip $(FIND_LINKS)))
endif

RUN := $(UV) run --no-sync

# Where Python may not keep compiled modules (containers often say so), every process would compile torch and all the
# rest anew, at several seconds each.
COMPILE := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)

.PHONY: help setup demo test docs lint format clean

help:
	@echo "make demo     set up, then the main job: two experts, discover, train, report, pictures under runs/demo"
	@echo "make test     set up, then the tests"
	@echo "make docs     set up, then the documentation site into site/; a warning is an error"
	@echo "make lint     set up, then ruff and pyright"
	@echo "make format   set up, then ruff puts the code into its form"
	@echo "make setup    only the set-up, into .venv"
	@echo "make clean    remove .venv, .uv and caches; keeps data/ and runs/"

setup: $(UV_READY)
	$(UV) sync --quiet $(COMPILE)

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet uv

demo: setup
	$(RUN) mode-imitation demo

test: setup
	$(RUN) pytest -n 2 --dist loadfile

# Neither the build nor a reader's browser asks another server for anything.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict
	@! grep -rEl '<(script|img|iframe|link)[^>]+(src|href)="?(https?:)?//' site --include='*.html'

lint: setup
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) pyright

format: setup
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

clean:
	rm -rf .venv .uv site .pytest_cache .ruff_cache .hypothesis
