# Two commands for a newcomer: `make demo` and `make test`. Both make their own `.venv`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PARITY := .venv-parity/bin
DEMO := demo
PLAYWRIGHT := 1.65.1

.PHONY: help demo test test-kernels chaos web-test lint parity bench bench-gpu clean

help:
	@echo "make demo    data, training, evaluation, export and prediction on drawn shapes"
	@echo "make test    style, types, import direction and the tests"
	@echo "make test-kernels  the tests that depend on TensorFlow's kernels, without oneDNN"
	@echo "make chaos   a training of one worker killed 20 times, and of two 10 times, ends as undisturbed"
	@echo "make web-test  the browser page in Chromium (apt-get install chromium npm; installs playwright-core)"
	@echo "make parity  our networks against torchvision, TF-Slim, keras.applications, keras-hub, live (installs 8 GB of its own)"
	@echo "make bench   times ours and others', in turns, into docs/benchmark.md (the same 8 GB; 15 minutes)"
	@echo "make bench-gpu  training and latency on a GPU beside torchvision; a small check without one"

.venv/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11)' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "venv is needed: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet --editable '.[dev]'
	@# Compiled here; without a C++ compiler the tests of the CRF are skipped.
	@$(BIN)/pip install --quiet --editable '.[crf]' || echo "no CRF: its tests will be skipped"
	@touch $@

demo: .venv/installed
	rm -rf $(DEMO)
	$(BIN)/deeplab-prepare --dataset=shapes --data_dir=$(DEMO)/data
	$(BIN)/deeplab-train --config=configs/shapes.py:demo --data_dir=$(DEMO)/data \
	  --workdir=$(DEMO)/run
	$(BIN)/deeplab-eval --workdir=$(DEMO)/run --data_dir=$(DEMO)/data
	$(BIN)/deeplab-export --workdir=$(DEMO)/run --data_dir=$(DEMO)/data \
	  --format=saved_model --out=$(DEMO)/saved_model
	$(BIN)/deeplab-export --workdir=$(DEMO)/run --data_dir=$(DEMO)/data \
	  --format=litert --out=$(DEMO)/litert
	$(BIN)/deeplab-predict --model=$(DEMO)/saved_model \
	  --images='$(DEMO)/data/shapes_VOCdevkit/VOC2012/JPEGImages/val_000*.jpg' --out=$(DEMO)/predictions
	@cat $(DEMO)/run/eval.txt
	@echo "pictures $(DEMO)/predictions"

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	@# The import direction is read from the package as installed, where export and configs lie
	@# inside deeplab_tf.
	@rm -rf build
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --target build/tree .
	cd build/tree && ../../$(BIN)/lint-imports ../../pyproject.toml

# Both processes take whole files, so that what the tests of a file share is made once.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile
test: lint
	$(PYTEST)

# The other setting of what `make test` runs with on an x86 processor, where it sets oneDNN on.
KERNEL_TESTS := tests/models tests/export/test_saved_model.py tests/export/test_litert.py \
  tests/export/test_onnx.py tests/training/test_step.py tests/training/test_accumulate.py \
  tests/training/test_rematerialize.py tests/training/test_precision.py
test-kernels: .venv/installed-dev
	TF_ENABLE_ONEDNN_OPTS=0 $(PYTEST) $(KERNEL_TESTS)

# `make test` does three kills.
chaos: .venv/installed-dev
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python tests/training/chaos.py --kills=20
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python tests/training/chaos_workers.py --kills=10

# `make test` skips what needs a browser where these are missing.
web-test: .venv/installed-dev
	@command -v npm >/dev/null || { echo "npm is needed: apt-get install npm"; exit 1; }
	@command -v chromium >/dev/null || { echo "Chromium is needed: apt-get install chromium"; exit 1; }
	npm install --silent --no-audit --no-fund --prefix build/browser playwright-core@$(PLAYWRIGHT)
	$(BIN)/pytest -rs tests/export/test_litert_js.py tests/export/test_web.py \
	  tests/export/test_web_frame.py tests/export/test_web_browser.py

parity: .venv-parity/installed
	PYTHONPATH=tests TF_CPP_MIN_LOG_LEVEL=3 $(PARITY)/python -m parity.live

# BENCH: more flags, as --voc=VOCdevkit for the pipeline.
bench: .venv-parity/installed
	$(PARITY)/python tests/benchmarks/bench.py --out=docs/bench.json --page=docs/benchmark.md $(BENCH)

# GPU_PYTHON: one whose torch and whose JAX (or TensorFlow, by KERAS_BACKEND) see the GPU.
GPU_PYTHON ?= $(PARITY)/python
KERAS_BACKEND ?= jax
SMALL := $(if $(shell command -v nvidia-smi),,--device=cpu --backbone=resnet50 --size=65 --batch=2 --rounds=2 --calls=1)
bench-gpu: $(if $(filter $(PARITY)/python,$(GPU_PYTHON)),.venv-parity/installed)
	KERAS_BACKEND=$(KERAS_BACKEND) PYTHONPATH=. $(GPU_PYTHON) tests/benchmarks/bench_gpu.py \
	  --out=bench_gpu.json $(SMALL)

.venv-parity/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv-parity
	$(PARITY)/pip install --quiet --editable '.[slim,onnx]' torch==2.14.1 torchvision==0.29.1 \
	  keras-hub==0.32.0 jax
	@touch $@

clean:
	rm -rf .venv .venv-parity build $(DEMO)
