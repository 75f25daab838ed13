#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make lint`: what can be said of the sources without running them. Each check passes
# or fails as one; what it found is printed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quarry
cd "$top"
"$here/deps.sh" check docs fuzz mutants
source=$("$here/kernel.sh" source)
# What a check prints is what it found, and a download says that it is one
for kernel in 6.12 6.1 6.12-rt; do "$here/kernel.sh" "$kernel" >/dev/null; done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0

# check NAME COMMAND...: fails if the command does, or prints anything
check() {
	local name=$1
	shift
	if "$@" >"$out/found" 2>&1 && [ ! -s "$out/found" ]; then
		echo "  ok      $name"
		passed=$((passed + 1))
	else
		echo "  FAILED  $name"
		head -n 60 "$out/found" | sed 's/^/    /'
		failed=$((failed + 1))
	fi
}

# Everything that is ours, whether git knows it yet or not
mapfile -t files < <(git ls-files --cached --others --exclude-standard | sort -u |
	grep -v '^fuzz/corpus/' | while read -r f; do [ ! -e "$f" ] || echo "$f"; done)
mapfile -t code < <(printf '%s\n' "${files[@]}" | grep -E '\.[ch]$' || :)
mapfile -t shell < <(for f in "${files[@]}"; do head -n 1 "$f" | grep -qE '^#!.*/(ba)?sh' && echo "$f"; done || :)

# The version of the kernel is what compat.h is about. A file that it had nothing to say
# of, half a second each, is not looked at again.
checkpatch() {
	local command=(perl "$source/scripts/checkpatch.pl" --strict --no-tree --no-summary --quiet --terse
		--show-types --ignore LINUX_VERSION_CODE -f)
	local f stamp status
	stamp_of() {
		echo "$cache/checkpatch/$({ echo "${command[*]} $1"; cat "$1"; } | sha256sum | cut -d ' ' -f 1)"
	}
	mkdir -p "$cache/checkpatch"
	for f in "${code[@]}"; do
		stamp=$(stamp_of "$f")
		[ ! -e "$stamp" ] || continue
		# It does not look at an empty one, and says no more of others
		[ -s "$f" ] || { echo "$f: empty"; continue; }
		status=0
		"${command[@]}" "$f" >"$out/checkpatch" 2>&1 || status=$?
		if grep -v '^No structs that should be const' "$out/checkpatch"; then
			continue
		elif [ "$status" != 0 ]; then
			echo "$f: checkpatch ended with $status"
		elif [ "$stamp" = "$(stamp_of "$f")" ]; then
			touch "$stamp"
		fi
	done
}

# Built as for the kselftests, so that whoever comes second finds it done
warnings() {
	STRICT=1 "$here/build.sh" "$("$here/kernel.sh" "$1")" >/dev/null
}

licence() {
	local f
	for f in "${files[@]}"; do
		case $f in COPYING | .clang-format | *.xz) continue ;; esac
		head -n 5 "$f" | grep -q 'SPDX-License-Identifier: GPL-2.0-only' || echo "$f: no licence line"
	done
}

# Marks of unfinished work, and paths of one machine
marks() {
	local marks='TO''DO|FIX''ME|X''XX|HA''CK' paths='/wo''rk/|/ro''ot/'
	printf '%s\0' "${files[@]}" | grep -zvE '^(COPYING|\.clang-format)$|\.xz$' | xargs -0 grep -nwE "$marks" || :
	printf '%s\0' "${files[@]}" | grep -zvE '^(COPYING|\.clang-format)$|\.xz$' | xargs -0 grep -nE "(^|[^A-Za-z0-9_\$\"}/.])($paths)" || :
}

# A fault that the code has moved away from would be planted elsewhere, or nowhere
mutants() {
	local f
	for f in selftests/mutants/*.patch; do
		patch -p1 --dry-run -F0 --quiet --force <"$f" >/dev/null 2>&1 || echo "$f: does not apply"
	done
}

# Plots have pictures in them, as base64
spelling() {
	printf '%s\0' "${files[@]}" | grep -zvE '^(COPYING|\.clang-format)$|\.(xz|svg)$' | xargs -0 codespell -L "${SPELLING:-inout,hist}"
}

# Another compiler, too
kmsan() {
	local kernel
	kernel=$("$here/kernel.sh" debug kmsan 2>"$out/kmsan.log") || {
		cat "$out/kmsan.log"
		return 1
	}
	mkdir "$out/kmsan"
	cp -r kmod include "$out/kmsan/"
	echo 'obj-m := kmod/' >"$out/kmsan/Kbuild"
	# That kernel itself is not built, and exports nothing to link with
	env -u STRICT "$here/build.sh" -s "$out/kmsan" "$kernel" CC=clang KCFLAGS=-Werror KBUILD_MODPOST_WARN=1 >/dev/null
	# objtool's do not fail, and come once
	! grep 'warning: ' "build/$(basename "$kernel").log" || rm -rf "$cache/modules/$(basename "$kernel")"
}

# Warnings are errors: a reference to nothing, a function without its comment
manual() {
	QUARRY_KERNEL_SOURCE=$source sphinx-build -q -W -b html -d "$out/doctrees" Documentation "$out/html"
}

SECONDS=0
check 'checkpatch --strict' checkpatch
check 'W=1 for 6.12, sparse' warnings 6.12
check 'W=1 for 6.1' warnings 6.1
check 'W=1 for 6.12-rt' warnings 6.12-rt
check 'compiles for KMSAN, by clang' kmsan
check 'shellcheck' shellcheck -x -P SCRIPTDIR "${shell[@]}"
check 'codespell' spelling
check 'README has the client that the tests run' sh Documentation/readme_check.sh
check "make install, the README's client on it, and DKMS" "$here/install-check.sh"
check 'the manual builds' manual
check 'each public function has an example' Documentation/examples_check.sh
check 'each public function is in the table of contexts' Documentation/contexts_check.sh
check 'each figure is defined, and no other' Documentation/figures_check.sh
check 'bench-check fails when it should' selftests/bench/check_check.sh
check "a console's complaints are seen" "$here/complaint_check.sh"
check 'memory orders are those of the litmus tests' Documentation/orders_check.sh
check 'each mutant applies' mutants
check 'licence lines' licence
check 'marks and paths' marks
echo "  $SECONDS s"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
