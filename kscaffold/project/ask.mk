# What does this directory build? Read as Kbuild reads it, told in lines that start with @kscaffold@.
#
# This stands where scripts/Makefile.build stands: the same variables are set before the directory's
# Kbuild (or Makefile) is included, the same rules find its modules and objects afterwards. Nothing is
# built and nothing is written; the project's rules run where `kscaffold-building` is set, when Kbuild itself
# is about to run them. In the environment: srctree, objtree and what Kbuild exports; on the
# command line, as in Kbuild: obj (the directory, absolute) and M.

kscaffold-ask-file := $(firstword $(MAKEFILE_LIST))

src := $(obj)
# An editor's or a shell's variable must not name objects.
obj-y :=
obj-m :=
lib-y :=
lib-m :=
always-y :=
always-m :=
targets :=
subdir-y :=
subdir-m :=
EXTRA_AFLAGS :=
EXTRA_CFLAGS :=
EXTRA_CPPFLAGS :=
EXTRA_LDFLAGS :=
asflags-y :=
ccflags-y :=
rustflags-y :=
cppflags-y :=
ldflags-y :=
subdir-asflags-y :=
subdir-ccflags-y :=

# By which a Kbuild that the kernel's tree has, too, knows that it is outside of it.
export KBUILD_EXTMOD := $(M)
# Kbuild's goal is none of a Makefile's (`all $(MAKECMDGOALS): tools`).
MAKECMDGOALS :=
# make runs rules for what is included, those that match anything (`%:`), too: to read a Makefile is not to
# build. This is of recipes only: $(shell ...) answers as ever.
ifeq ($(kscaffold-building),)
%: SHELL := true
endif

# CONFIG_ values, and cc-option and its kin. Absent where there is no kernel tree to ask.
ifneq ($(objtree),)
-include $(objtree)/include/config/auto.conf
-include $(srctree)/scripts/Kbuild.include
-include $(srctree)/scripts/Makefile.compiler
endif

# `kscaffold-edited` is a Kbuild of which another text is to be asked about, in the file `kscaffold-draft`.
kscaffold-others := $(MAKEFILE_LIST)
kscaffold-kbuild := $(or $(filter $(obj)/Kbuild,$(kscaffold-edited)),$(wildcard $(obj)/Kbuild),$(obj)/Makefile)
include $(if $(filter $(kscaffold-kbuild),$(kscaffold-edited)),$(kscaffold-draft),$(kscaffold-kbuild))
kscaffold-read := $(wordlist $(words x $(kscaffold-others)),$(words $(MAKEFILE_LIST)),$(MAKEFILE_LIST))

# As in scripts/Makefile.lib: what is built in is no module; a module is composite when any of its
# lists is set, even an empty one's companion (the suffix "-").
kscaffold-suffixes = $(strip $(foreach s,$2,$($(1:%.o=%$s))))
kscaffold-objects = $(if $(call kscaffold-suffixes,$1,-objs -y -m -),$(call kscaffold-suffixes,$1,-objs -y -m),$1)
kscaffold-modules := $(filter %.o,$(filter-out $(obj-y),$(obj-m)))
kscaffold-dirs := $(patsubst %/,$(obj)/%,$(filter %/,$(obj-y) $(obj-m)))

$(info @kscaffold@ read $(obj) $(kscaffold-read))
$(foreach m,$(kscaffold-modules),$(info @kscaffold@ module $(obj) $m $(call kscaffold-objects,$m)))

# Told only when asked for: an option can be the answer of a program ($(call cc-option)).
kscaffold-sources = $(foreach m,$(kscaffold-modules),$(call kscaffold-objects,$m))
kscaffold-flags = ccflags-y subdir-ccflags-y asflags-y ldflags-y EXTRA_CFLAGS EXTRA_AFLAGS EXTRA_LDFLAGS \
	KBUILD_EXTRA_SYMBOLS $(foreach o,$(kscaffold-sources),CFLAGS_$o CFLAGS_REMOVE_$o)
ifneq ($(kscaffold-details),)
$(foreach f,$(kscaffold-flags),$(if $(strip $($f)),$(info @kscaffold@ flags $(obj) $f $($f))))
$(foreach m,$(kscaffold-modules),$(if $(filter $m,$(call kscaffold-suffixes,$m,-objs -y -m)),\
	$(info @kscaffold@ circle $(obj) $m)))
endif

# Descend as Kbuild does, in a make of its own, so that what a Kbuild exports is passed down.
.PHONY: kscaffold-ask $(kscaffold-dirs)
kscaffold-ask $(kscaffold-dirs): SHELL := /bin/sh
kscaffold-ask: $(kscaffold-dirs) ; @:
$(kscaffold-dirs): ; @$(MAKE) -rR --no-print-directory -f $(kscaffold-ask-file) obj=$@ kscaffold-ask
