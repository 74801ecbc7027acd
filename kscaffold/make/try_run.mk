# Read by each make of the kernel's before its own files (MAKEFILES): what `try-run` was answered in earlier
# builds, and how a question that is new is asked and its answer kept. try_run.py has the why.
#
# A question's text is a variable's name here, without what no name may have. One with a # is asked each time: those
# are rustc's.
kscaffold-space := $(subst ,, )
kscaffold-name = $(subst $(kscaffold-space),@s,$(subst :,@c,$(subst =,@e,$(subst $$,@d,$(subst @,@a,$(strip $(1)))))))
# As scripts/Makefile.compiler does it (v6.12); TMPO is of kernels before v5.11.
kscaffold-ask = $(shell set -e; TMP=$(TMPOUT)/tmp; TMPO=$(TMPOUT)/tmp.o; trap "rm -rf $(TMPOUT)" EXIT; \
	mkdir -p $(TMPOUT); if ($(1)) >/dev/null 2>&1; then echo y; else echo n; fi)
# Only a yes is kept: a no may have been a full disk.
kscaffold-keep = $(if $(filter y,$(2)),$(file >>$(KSCAFFOLD_TRY_RUN),override kscaffold-yes-$(1) := y))$(2)
kscaffold-answer = $(or $(kscaffold-yes-$(1)),$(call kscaffold-keep,$(1),$(call kscaffold-ask,$(2))))
kscaffold-choose = $(if $(filter y,$(1)),$(2),$(if $(filter n,$(1)),$(3)))
override try-run = $(call kscaffold-choose,$(call kscaffold-answer,$(call kscaffold-name,$(1)),$(1)),$(2),$(3))
# Makefiles ask this for the first or the last file that was read: this one is none of theirs.
MAKEFILE_LIST :=
