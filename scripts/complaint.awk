# SPDX-License-Identifier: GPL-2.0-only
#
# The first line of a console at which the kernel complains of something that nobody
# expected; nothing if it does not. complaint_check.sh has examples.
#
# By KCSAN's strict rules the kernel itself has races, from boot on: a report counts if
# a module is in it. Not, if a tick came while a module was at work: what stands below
# the entry of an interrupt is what it interrupted. (That of an NMI, which came in the
# kernel, is named end_repeat_nmi.)

/quarry-expect-begin: / {
	expected = $0
	sub(/.*quarry-expect-begin: /, "", expected)
	sub(/\r$/, "", expected)
}
/quarry-expect-end/ { expected = "" }
/[Cc]ommand line|stall warnings suppressed/ { next }
/INFO: NMI handler/ { next }	# on a busy host

/BUG: KCSAN:/ { race = expected != "" && $0 ~ expected ? 0 : NR; interrupted = 0; next }
race && / by (task [0-9]+|interrupt) on cpu|race at unknown origin|^\[ *[0-9.]+\] *\r?$/ { interrupted = 0 }
race && / (asm_[a-z0-9_]+|end_repeat_nmi)\+0x/ { interrupted = 1; next }
race && !interrupted && /\+0x[0-9a-f]+\/0x[0-9a-f]+ \[[a-z]/ { print race; exit }
race && /=================================/ { race = 0 }

/WARNING:|BUG:|kernel BUG|UBSAN:|INFO: |possible recursive|inconsistent lock|suspicious RCU/ ||
/kmemleak: .*(disabled|Memory pool empty)/ ||
/new suspected memory leak|Oops|general protection|Kernel panic|[Ss]tall|soft lockup|hung task/ {
	if (expected == "" || $0 !~ expected) {
		print NR
		exit
	}
}
