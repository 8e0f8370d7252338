# Servers for tests, each built like wspushd except for a few files that are compiled with a
# definition:
#
#   wspushd-faults   has bugs that a test can trigger (common/fault.h)
#   wspushd-next     has another layout, to which this one can be migrated (shm/migrate.h)
#   wspushd-foreign  has another layout, to which it cannot
#
# The master of each has such bugs, too.

VARIANTS := faults next foreign

faults_differs  := master/master worker/deliver worker/outbox_send worker/requests worker/worker
next_differs    := shm/layout shm/migrate master/master
foreign_differs := $(next_differs)
faults_defines  := -DWSPUSHD_FAULTS
next_defines    := -DWSPUSHD_FAULTS -DSEGMENT_LAYOUT=0x1001 -DMIGRATE_FROM=$$(cat $(BUILD)/layout)
foreign_defines := -DWSPUSHD_FAULTS -DSEGMENT_LAYOUT=0x1002

define variant
$$(BUILD)/wspushd-$(1): $$(call objects,$$(filter-out $$($(1)_differs:=.c),$$(SERVER_SRC))) \
        $$($(1)_differs:%=$$(BUILD)/obj/%.$(1).o) $$(PAGES:%=$$(BUILD)/obj/%_files.o)
$$(BUILD)/obj/%.$(1).o: private CPPFLAGS_ALL += $$($(1)_defines)
$$(BUILD)/obj/%.$(1).o: %.c Makefile tests/variants.mk $$(BUILD)/layout
	$$(compile)
endef
$(foreach each,$(VARIANTS),$(eval $(call variant,$(each))))

$(VARIANTS:%=$(BUILD)/wspushd-%): $(BUILD)/obj/tests/faults/fault.faults.o
