# The front door: Meson and Ninja do the work, in build/. `make help` lists what there is.

PREFIX ?= /usr
DESTDIR ?=
MESON ?= meson
NINJA ?= ninja
STRIP ?= strip
JOBS ?= $(shell nproc)
PYTHON ?= python3
# Where warnings are errors: in CI. A newer compiler's new warning stops nobody else.
WERROR := $(if $(CI),true,false)


.PHONY: all compile help needs prefix small large test-build test test-fast storm chaos faults fuzz run lint analyze format bench \
	coverage coverage-build install uninstall image create_disk package start_vm kill_vm sync clean

all: small large ## build every program, static, into out/
	@scripts/collect out build/small build/large
	@scripts/make-pages out build/pages # manual pages and completions
compile: all ## gonit's name for it

help: ## this list
	@sed -n 's/^\([a-z][a-z_-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

# Two build folders of one description: the programs that need no library against musl (init stays
# below 100 KB that way), those with libyaml and jansson against the distribution's C library.
small: build/small/build.ninja | prefix
	@$(NINJA) -C build/small -j $(JOBS) --quiet
large: build/large/build.ninja | prefix
	@$(NINJA) -C build/large -j $(JOBS) --quiet

build/small/build.ninja: | needs
	CC=musl-gcc $(MESON) setup build/small -Dprograms=small -Doptimization=s -Dprefix=$(PREFIX) \
		-Dwerror=$(WERROR)
	@echo "$(PREFIX)" >build/prefix
build/large/build.ninja: | needs
	$(MESON) setup build/large -Dprograms=large -Doptimization=2 -Dprefix=$(PREFIX) \
		-Dwerror=$(WERROR)

# The folder that is in the programs (where they look when their own folder has no neighbours).
prefix: build/small/build.ninja build/large/build.ninja
	@[ "$$(cat build/prefix 2>/dev/null)" = "$(PREFIX)" ] || { \
		$(MESON) configure build/small -Dprefix=$(PREFIX) && \
		$(MESON) configure build/large -Dprefix=$(PREFIX) && echo "$(PREFIX)" >build/prefix; }

needs:
	@scripts/install-needs --check build

# What the tests run against: every program and unit test under the address and the undefined
# behaviour sanitizer, flat in build/test/flat as out/ is.
test-build: build/test/build.ninja
	@$(NINJA) -C build/test -j $(JOBS) --quiet
	@scripts/collect build/test/flat build/test
build/test/build.ninja: | needs
	$(MESON) setup build/test -Dstatic=false -Dtests=true -Dbuildtype=debug \
		-Db_sanitize=address,undefined -Db_lundef=false -Dwerror=$(WERROR)

# Programs whose states have another layout: upgrades are tested between these and those.
.PHONY: variant tsan
variant: build/variant/build.ninja
	@$(NINJA) -C build/variant -j $(JOBS) --quiet src/service-launcher/service-launcher \
		src/service-journal/service-journal src/init/init src/init/init-later
build/variant/build.ninja: | needs
	$(MESON) setup build/variant -Dstatic=false -Dbuildtype=debug -Dstate_variant=true \
		-Dwerror=$(WERROR)

test: ## install what is missing, build, run every test (TESTS="-k PATTERN" picks)
	@scripts/install-needs build test vm roots lint
	@$(MAKE) --no-print-directory all test-build variant
	@scripts/make-root --tests || echo "test: not all roots of other init systems are there; tests say which they miss"
	@tests/run $(TESTS)
test-fast: ## unit, lint, and PID namespace tests, the sanitizers' build only
	@scripts/install-needs build test
	@$(MAKE) --no-print-directory test-build variant
	@tests/run --build asan unit lint pidns $(TESTS)

.PHONY: roots test-inits
test-inits: all ## the nested systems that make test leaves out: Finit, and OpenRC under sysvinit
	@scripts/install-needs build test roots
	@scripts/make-root --all
	@tests/run inits $(TESTS)
roots: all ## root folders of other init systems (Debian's packages) in build/roots: scripts/make-root --help
	@scripts/install-needs roots
	@scripts/make-root --all

# Programs that count each line and branch in a file they share, so that a kill loses no count.
COUNTERS = $(CURDIR)/build/coverage/counters
coverage: ## lines and branches that the whole suite takes; TESTS="unit -k PATTERN": of a part of it; KEEP=1: added to what was counted; FAULTS=600: and so many seconds of faults
	@scripts/install-needs build test vm coverage
	@$(MAKE) --no-print-directory coverage-build variant
	@$(if $(KEEP),,rm -rf $(COUNTERS);) mkdir -p $(COUNTERS)
	@tests/run --build coverage $(or $(TESTS),unit pidns boot) || echo "coverage: of a run with failures"
	@$(if $(FAULTS),$(call COVERAGE_SWEEP,) ; $(call COVERAGE_SWEEP,--allocations),:)
	@scripts/coverage build/coverage
# A fault a place, each run judged (tests/faults); goes on where it was ended.
COVERAGE_SWEEP = CONIT_BUILD=$(CURDIR)/build/coverage/flat CONIT_BUILD_KIND=coverage tests/faults/sweep.py \
	--rounds 1 --seconds $(FAULTS) --results build/coverage/faults$(1).jsonl $(1) || echo "coverage: with bad faults"
coverage-build: all build/coverage/build.ninja
	@$(NINJA) -C build/coverage -j $(JOBS) --quiet
	@scripts/collect build/coverage/flat build/coverage
	@touch build/coverage/flat/* # also those that did not change: of this very text
build/coverage/build.ninja: | needs
	CC=clang $(MESON) setup build/coverage -Dtests=true -Dbuildtype=debug -Doptimization=1 \
		-Dc_args="-fprofile-instr-generate=$(COUNTERS)/%m%c.profraw -fcoverage-mapping -fno-inline -fprofile-update=atomic -mllvm -runtime-counter-relocation" \
		-Dc_link_args="-fprofile-instr-generate"

# A journal whose threads are watched, among programs of a release; what it reports is in a file, as nobody hears what
# is killed. It is many times as slow: what a test demands besides is for the other builds to keep.
tsan: all build/tsan/build.ninja ## ThreadSanitizer over service-journal while its tests run; a report fails it
	@$(NINJA) -C build/tsan -j $(JOBS) --quiet src/service-journal/service-journal
	@mkdir -p build/tsan/flat && cp out/* build/tsan/flat && cp build/tsan/src/service-journal/service-journal build/tsan/flat
	@rm -f build/tsan/report.*
	@export TSAN_OPTIONS=log_path=$(CURDIR)/build/tsan/report CONIT_SUMMARY=$(CURDIR)/build/tsan/summary; \
	for tests in test_journal test_upgrade_journal test_dev_log; do rm -f $$CONIT_SUMMARY; \
		tests/run --build tsan pidns -k $$tests || echo "tsan: of a run with failures"; \
		grep -q '^[1-9]' $$CONIT_SUMMARY || { echo "tsan: no test of $$tests passed"; exit 1; }; done
	@! cat build/tsan/report.* 2>/dev/null
build/tsan/build.ninja: | needs
	$(MESON) setup build/tsan -Dstatic=false -Dbuildtype=debug -Doptimization=1 -Db_sanitize=thread -Db_lundef=false \
		-Dwerror=$(WERROR)

# As a release, but that an allocation fails where a test asks for it.
.PHONY: memory
memory: build/memory/build.ninja
	@$(NINJA) -C build/memory -j $(JOBS) --quiet
	@scripts/collect build/memory/flat build/memory
build/memory/build.ninja: | needs
	$(MESON) setup build/memory -Dfaults=true -Doptimization=2 -Dwerror=$(WERROR)

storm: test-build all ## eight clients at once against both builds: SEED=… (the same requests again), REQUESTS=10000
	@CONIT_STORM_SEED=$(or $(SEED),0) CONIT_STORM_REQUESTS=$(or $(REQUESTS),10000) \
		tests/run -j 1 pidns -k test_storm

faults: test-build memory all ## every system call and allocation of ours fails once (some half an hour); goes on where it was ended: FAULTS="--only PATTERN --again"; tests/faults/sweep.py --help
	@tests/faults/sweep.py $(FAULTS)
	@CONIT_BUILD=$(CURDIR)/build/memory/flat CONIT_BUILD_KIND=memory tests/faults/sweep.py --allocations $(FAULTS)

fuzz: ## libFuzzer over tests/fuzz: TARGET=service-file (none: each), SECONDS=60; scripts/fuzz --help
	@scripts/install-needs build fuzz
	@JOBS=$(JOBS) scripts/fuzz --seconds $(or $(SECONDS),60) $(TARGET)

chaos: test-build variant all ## kill, break and upgrade everything at random against both builds: SEED=…, KILLS=1000, BUILD=release for one of them
	@rm -f build/chaos-report
	@CONIT_CHAOS_SEED=$(or $(SEED),0) CONIT_CHAOS_KILLS=$(or $(KILLS),1000) \
		CONIT_CHAOS_REPORT=$(CURDIR)/build/chaos-report \
		tests/run -j 1 $(if $(BUILD),--build $(BUILD)) pidns -k test_chaos
	@cat build/chaos-report

run: ## boot a small machine in QEMU; ROOT=9p boots from a host folder
	@scripts/install-needs build vm
	@$(MAKE) --no-print-directory all
	@vm/run $(if $(ROOT),--root $(ROOT)) $(RUN)

lint: ## format, layers, lengths, words, cppcheck, clang-tidy, gcc -fanalyzer
	@tests/run --build asan lint
analyze: ## the analyzer of clang-tidy over src/: minutes
	@scripts/install-needs lint
	@scripts/lint-clang-tidy --analyzer
format: ## clang-format over all C files
	@git ls-files '*.c' '*.h' | xargs clang-format -i

bench: all ## measure sizes, memory and speed
	@bench/run $(BENCH)

install: all ## into DESTDIR and PREFIX; LINK_INIT=1 also makes /sbin/init a link to init
	@scripts/install-tree "$(DESTDIR)" "$(PREFIX)" $(if $(filter 1,$(LINK_INIT)),--link-init)
uninstall: ## remove what install put there (configuration stays)
	@scripts/install-tree --remove "$(DESTDIR)" "$(PREFIX)"

# gonit's names.
image: all ## the VM's disk, build/vm/root.img, made without root
	@scripts/install-needs vm
	@vm/run --image-only
create_disk: image
package: image
start_vm: run
kill_vm: ## end the VM that make run started from this folder, and no other
	@vm/run --kill
sync: ## not needed: the image is written whole, never while it is mounted
	@echo "nothing to do: the image is made whole by mke2fs and never mounted on this machine"

clean: ## remove build/ and out/
	rm -rf build out
