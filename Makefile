# Builds wspushd. `make` builds the programs, `make help` lists the other targets.
#
#   V=1        shows the commands
#   WERROR=1   makes warnings errors
#   BUILD=DIR  builds somewhere else
#
# For `make install`: DESTDIR (for packages), PREFIX, SYSCONFDIR, UNITDIR.

VERSION := 0.1.0
BUILD   := build
CC      := gcc
CFLAGS  := -O2 -g

PACKAGES := libevent_core libevent_extra hiredis jansson libconfuse libssl libcrypto
MODULES  := common proto shm worker master

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
            -Wmissing-prototypes -Wcast-qual -Wpointer-arith -Wvla -Wno-format-zero-length
HARDEN   := -fstack-protector-strong -fPIE
FORTIFY  := -D_FORTIFY_SOURCE=2

ifeq ($(SANITIZE),thread)
# TSan does not support fences (-Wtsan); those of shm/ only order atomic accesses, so it need not.
CFLAGS   := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -Wno-tsan
FORTIFY  :=
else ifdef SANITIZE
CFLAGS   := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FORTIFY  := # the sanitizers detect more
endif
ifdef WERROR
WARNINGS += -Werror
endif

ifdef KILLPOINTS
CPPFLAGS += -DKILLPOINTS_BUILD
endif

CPPFLAGS_ALL := -D_GNU_SOURCE -DWSPUSHD_VERSION='"$(VERSION)"' $(FORTIFY) -I. \
                $(shell pkg-config --cflags $(PACKAGES)) $(CPPFLAGS)
CFLAGS_ALL   := -std=c11 $(WARNINGS) $(HARDEN) $(CFLAGS)
LDFLAGS_ALL  := $(CFLAGS) -pie -Wl,-z,relro,-z,now -Wl,--build-id -Wl,--as-needed $(LDFLAGS)
LIBS         := $(shell pkg-config --libs $(PACKAGES))

PREFIX     := /usr/local
SYSCONFDIR := /etc
UNITDIR    := $(PREFIX)/lib/systemd/system
SBINDIR    := $(PREFIX)/sbin
BINDIR     := $(PREFIX)/bin
MANDIR     := $(PREFIX)/share/man
DOCDIR     := $(PREFIX)/share/doc/wspushd
EXAMPLEDIR := $(DOCDIR)/examples
UNITS      := wspushd.service wspushd.socket

TOOLS      := wspushctl wspush wspush-bench
PROGRAMS   := wspushd $(TOOLS)

Q := $(if $(V),,@)

CONSOLE    := console/index.html console/console.css console/console.js console/console.svg \
              clients/js/wspush.js
DASHBOARD  := dashboard/index.html $(wildcard dashboard/dashboard.*)
PAGES      := console dashboard
SERVER_SRC := $(wildcard $(MODULES:=/*.c))
KILL_SRC   := $(if $(KILLPOINTS),tests/chaos/killpoint.c)
WSPUSH_SRC := tools/wspush.c $(wildcard tools/wspush_*.c)
CTL_SRC    := tools/wspushctl.c $(wildcard tools/wspushctl_*.c) tools/wspush_buffer.c \
              tools/wspush_input.c tools/wspush_text.c
BENCH_SRC  := tools/bench.c $(wildcard tools/bench_*.c) tools/wspush_url.c tools/wspush_buffer.c
TESTS      := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
objects     = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# The modules that the unit tests are linked with. libjwt is the oracle of the token tests; the
# server does not use it (see common/jwt_key.c).
TESTED_SRC := $(wildcard common/*.c proto/*.c shm/*.c) $(addprefix master/,base.c deaths.c event_log.c) \
              $(addprefix worker/,descriptor_kind.c hold.c kernel.c last_words.c outbox.c \
                                  outbox_send.c redis_role.c sending.c unconfirmed.c unrest.c) \
              $(addprefix tools/bench_,histogram.c payload.c sequence.c medium.c dialect.c token.c)

.DEFAULT_GOAL := all
include tests/variants.mk

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: FORCE all tests unit asan tsan model killpoints quick integration test soak check run install uninstall counts \
        perfcheck format clean help

all: $(PROGRAMS:%=$(BUILD)/%) ## builds the programs (the default)

$(BUILD)/wspushd: $(call objects,$(SERVER_SRC) $(KILL_SRC)) $(PAGES:%=$(BUILD)/obj/%_files.o)
$(BUILD)/wspushctl: $(call objects,$(CTL_SRC) $(wildcard proto/*.c common/*.c))
$(BUILD)/wspush: $(call objects,$(WSPUSH_SRC) $(wildcard proto/*.c common/*.c))
$(BUILD)/wspush-bench: $(call objects,$(BENCH_SRC) $(wildcard proto/*.c common/*.c))
$(PROGRAMS:%=$(BUILD)/%) $(VARIANTS:%=$(BUILD)/wspushd-%):
	$(if $(V),,@echo '  LINK $@')
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) -lm

$(BUILD)/libtested.a: $(call objects,$(TESTED_SRC))
	$(Q)rm -f $@ && ar rcs $@ $^

# Reads the shared memory of a running server, for the tests.
$(BUILD)/inspect: $(BUILD)/obj/tests/chaos/inspect.o $(BUILD)/obj/tests/chaos/find_segment.o $(BUILD)/libtested.a
	$(if $(V),,@echo '  LINK $@')
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# Overwrites parts of the shared memory of a running server, for the tests.
$(BUILD)/scribble: $(BUILD)/obj/tests/chaos/scribble.o $(BUILD)/obj/tests/chaos/find_segment.o $(BUILD)/libtested.a
	$(if $(V),,@echo '  LINK $@')
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libtested.a
	@mkdir -p $(@D)
	$(if $(V),,@echo '  LINK $@')
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) -lcmocka -ljwt

$(BUILD)/instructions: $(BUILD)/obj/tests/perf/instructions.o $(BUILD)/libtested.a
	$(if $(V),,@echo '  LINK $@')
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

define compile
@mkdir -p $(@D)
$(if $(V),,@echo '  CC   $<')
$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
endef
$(BUILD)/obj/%.o: %.c Makefile
	$(compile)

# The pages that the server serves, as tables in C.
$(BUILD)/console_files.c: scripts/embed $(CONSOLE)
	@mkdir -p $(@D)
	$(Q)scripts/embed console $(CONSOLE) >$@

$(BUILD)/dashboard_files.c: scripts/embed $(DASHBOARD)
	@mkdir -p $(@D)
	$(Q)scripts/embed dashboard $(DASHBOARD) >$@

$(BUILD)/obj/%_files.o: $(BUILD)/%_files.c worker/embedded.h Makefile
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC   $<')
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

# The name of this build: see common/version.h.
BUILD_NAME := $(shell scripts/build-name $(VERSION))
$(BUILD)/build-name: FORCE
	@mkdir -p $(@D)
	@echo '$(BUILD_NAME)' | cmp -s - $@ || echo '$(BUILD_NAME)' >$@
FORCE:

$(BUILD)/obj/common/version.o: private CPPFLAGS_ALL += -DWSPUSHD_BUILD='"$(BUILD_NAME)"'
$(BUILD)/obj/common/version.o: $(BUILD)/build-name

# The fingerprint of the layout of the shared memory: see shm/layout.h.
$(BUILD)/obj/scripts/stored-structs.o: private CFLAGS_ALL += -g -gdwarf-4
$(BUILD)/layout: scripts/layout $(BUILD)/obj/scripts/stored-structs.o
	$(Q)scripts/layout $(BUILD)/obj/scripts/stored-structs.o >$@

$(BUILD)/obj/shm/layout.o: private CPPFLAGS_ALL += -DSEGMENT_LAYOUT=$$(cat $(BUILD)/layout)
$(BUILD)/obj/shm/layout.o: $(BUILD)/layout

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

TEST_PROGRAMS := inspect scribble $(VARIANTS:%=wspushd-%)
tests: $(TESTS) $(TEST_PROGRAMS:%=$(BUILD)/%) ## builds the unit tests, and programs for tests

unit: $(TESTS) ## runs the unit tests
	$(Q)scripts/unit $(BUILD)

asan: ## builds programs and unit tests with ASan and UBSan, under build/asan
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=1 all tests killpoints

THREADED := test_threads test_ring_race
tsan: ## runs the threaded tests of the shared memory under ThreadSanitizer
	$(Q)$(MAKE) -s BUILD=$(BUILD)/tsan SANITIZE=thread \
	    $(THREADED:%=$(BUILD)/tsan/tests/%)
	$(Q)scripts/unit $(BUILD)/tsan $(THREADED)

model: ## checks the models (*.pml) with spin in every order of steps, and that it finds planted mistakes
	$(Q)scripts/model

killpoints: $(BUILD)/inspect ## builds build/killpoints/wspushd, whose workers can be made to die at each kill point
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/killpoints KILLPOINTS=1 $(BUILD)/killpoints/wspushd

quick: ## runs the unit tests and some integration tests, in less than a minute
	$(Q)scripts/test quick

integration: ## runs the integration tests of the plain build
	$(Q)scripts/test integration

test: ## runs all tests, plain and with sanitizers, as CI does
	$(Q)scripts/test

soak: ## runs the kill and fuzz tests for SOAK_MINUTES (30) and FUZZ_MINUTES (60)
	$(Q)scripts/soak

check: ## checks format, static analysis, include directions, tables against documents, prose and names
	$(Q)scripts/check

run: ## starts Redis, the server and an example backend to try out
	$(Q)scripts/run

counts: all ## checks the documented limits: allocations, system calls, bytes of a connection
	$(Q)WSPUSHD_BUILD=$(BUILD) scripts/counts

perfcheck: all $(BUILD)/instructions ## fails if an operation costs 5 % more than the recorded value
	$(Q)WSPUSHD_BUILD=$(BUILD) scripts/perfcheck

install: all ## installs programs, manuals and systemd units below $(DESTDIR)$(PREFIX)
	$(Q)install -D -m 755 $(BUILD)/wspushd $(DESTDIR)$(SBINDIR)/wspushd
	$(Q)install -D -m 755 -t $(DESTDIR)$(BINDIR) $(TOOLS:%=$(BUILD)/%)
	$(Q)install -D -m 644 docs/wspushd.8 $(DESTDIR)$(MANDIR)/man8/wspushd.8
	$(Q)install -D -m 644 -t $(DESTDIR)$(MANDIR)/man1 $(TOOLS:%=docs/%.1)
	$(Q)install -D -m 644 -t $(DESTDIR)$(EXAMPLEDIR) push.conf
	$(Q)install -D -m 644 -t $(DESTDIR)$(DOCDIR)/prometheus scripts/prometheus/wspushd.rules.yml
	$(Q)install -D -m 644 -t $(DESTDIR)$(DOCDIR)/grafana scripts/grafana/wspushd.json
	$(Q)mkdir -p $(DESTDIR)$(UNITDIR)
	$(Q)for unit in $(UNITS); do \
	    sed 's|/usr/local/sbin/|$(SBINDIR)/|; s|/etc/wspushd/|$(SYSCONFDIR)/wspushd/|' \
	        scripts/systemd/$$unit >$(DESTDIR)$(UNITDIR)/$$unit || exit; \
	    chmod 644 $(DESTDIR)$(UNITDIR)/$$unit; \
	done
	$(Q)[ -e $(DESTDIR)$(SYSCONFDIR)/wspushd/push.conf ] || \
	    install -D -m 644 push.conf $(DESTDIR)$(SYSCONFDIR)/wspushd/push.conf

uninstall: ## removes the installed files, except the configuration
	$(Q)rm -f $(DESTDIR)$(SBINDIR)/wspushd $(DESTDIR)$(MANDIR)/man8/wspushd.8 \
	    $(TOOLS:%=$(DESTDIR)$(BINDIR)/%) $(TOOLS:%=$(DESTDIR)$(MANDIR)/man1/%.1) \
	    $(UNITS:%=$(DESTDIR)$(UNITDIR)/%)
	$(Q)rm -rf $(DESTDIR)$(DOCDIR)

format: ## formats every .c and .h
	$(Q)git ls-files -co --exclude-standard '*.c' '*.h' | xargs -r clang-format -i

clean: ## removes the build directory
	$(Q)rm -rf $(BUILD)

help: ## prints this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | \
	    while IFS='	' read -r target text; do printf '  make %-11s %s\n' "$$target" "$$text"; done
