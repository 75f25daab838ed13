# SPDX-License-Identifier: GPL-2.0-only
#
# What a person types. `make` alone lists the targets; the kernel's build reads Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= 6.12
DESTDIR ?=
sharedir := $(DESTDIR)/usr/src/quarry

export KERNEL

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  KDIR=DIR       kernel that all, module, install build for (the running one's headers)"
	@echo "  KERNEL=NAME    kernel in the VM of run, shell: 6.1, 6.12 (default) or 6.12-rt; of bench"
	@echo "                 and fraglab also newest-plain; bench takes several: KERNEL='6.12 6.1'"
	@echo "  TRACES=FILES   what fraglab replays, instead of those that are here"
	@echo "  MODE=count     bench: instructions alone; MODE=contention: two CPUs alone; MODE=heap:"
	@echo "                 sizes that differ alone, the quick way"
	@echo "  SMP=N          bench: contention on N CPUs too"

.PHONY: all
all: ## Build all modules for KDIR, here: quarry.ko, samples, tests, benchmarks
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

.PHONY: module
module: ## Build quarry.ko alone
	$(MAKE) -C $(KDIR) M=$(CURDIR)/kmod modules

.PHONY: run
run: ## Boot a stock kernel, log real network traffic, show what debugfs shows
	@scripts/run.sh

.PHONY: check
check: ## Everything below that can fail, on all kernels; ends with N passed, N failed, N skipped
	@scripts/check.sh

.PHONY: shell
shell: ## A prompt in the VM, quarry loaded, modules in /lib/quarry, debugfs mounted
	@scripts/shell.sh

.PHONY: lint
lint: ## checkpatch, sparse, W=1 builds, shellcheck, codespell, the documentation, install
	@scripts/lint.sh

.PHONY: kunit
kunit: ## KUnit suites on the debug kernels (KASAN, KCSAN, RT, arm64)
	@scripts/kunit.sh

.PHONY: fuzz
fuzz: ## The heap's algorithm in user space under libFuzzer and sanitizers (FUZZ_SECONDS=60)
	@scripts/fuzz.sh

.PHONY: selftests
selftests: ## kselftests on stock 6.1, 6.12 and 6.12-rt
	@scripts/selftests.sh

.PHONY: bench
bench: ## Instructions an operation costs, exact, beside the kernel's own allocators
	@scripts/bench.sh

.PHONY: bench-check
bench-check: ## Quarry's instruction counts, twice, against the committed baseline
	@scripts/bench-check.sh

.PHONY: bench-docs
bench-docs: ## The manual's figures and plots anew, from the last make bench
	@scripts/bench-docs.sh

.PHONY: fraglab
fraglab: ## Fragmentation: traces of real work and synthetic ones, replayed over allocators
	@scripts/fraglab.sh $(TRACES)

.PHONY: fraglab-docs
fraglab-docs: ## The manual's tables and plots of it anew, from the last make fraglab
	@scripts/fraglab.sh -d

.PHONY: coverage
coverage: ## Lines of kmod/ that KUnit and kselftests run
	@scripts/coverage.sh

.PHONY: mutants
mutants: ## Plant each known fault and see its test fail
	@scripts/mutants.sh

.PHONY: docs
docs: ## The manual as HTML, in build/docs
	@scripts/deps.sh docs
	QUARRY_KERNEL_SOURCE=$$(scripts/kernel.sh source) \
		sphinx-build -q -W -b html Documentation build/docs

.PHONY: install
install: module ## Install quarry.ko for KDIR, and headers and symbols for clients (DESTDIR=)
	$(MAKE) -C $(KDIR) M=$(CURDIR)/kmod INSTALL_MOD_DIR=updates \
		$(if $(DESTDIR),INSTALL_MOD_PATH=$(DESTDIR) DEPMOD=true) modules_install
	release=$$(cat $(KDIR)/include/config/kernel.release) && \
		{ [ -n "$(DESTDIR)" ] || depmod $$release; }
	install -d $(sharedir)/include/quarry
	install -m 644 include/quarry/*.h $(sharedir)/include/quarry
	install -m 644 kmod/Module.symvers $(sharedir)/Module.symvers

.PHONY: uninstall
uninstall: ## Take away what install put in place
	rm -rf $(sharedir)
	release=$$(cat $(KDIR)/include/config/kernel.release) && \
		rm -f $(DESTDIR)/lib/modules/$$release/updates/quarry.ko* && \
		{ [ -n "$(DESTDIR)" ] || depmod $$release; }

.PHONY: clean
clean: ## Remove what was built here (the cache of kernels stays)
	rm -rf build
	$(MAKE) -s -C selftests/fraglab clean
	[ ! -d "$(KDIR)" ] || { $(MAKE) -C $(KDIR) M=$(CURDIR) clean && \
		$(MAKE) -C $(KDIR) M=$(CURDIR)/kmod clean; }
	rm -f selftests/open_as_nobody
	find . -name __pycache__ -prune -exec rm -rf {} +
