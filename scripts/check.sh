#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# `make check`: lint, KUnit on each debug kernel, kselftests on each stock kernel; a
# section a stage, a table, what failed, and one last line that a program can read. Stages run
# LANES=3 at a time (a VM's work is mostly on one of its CPUs), the long ones first; what
# is printed is in order all the same, each section as it comes once those before it have
# ended. LONG=1: races as long as in make kunit and make selftests.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
"$here/deps.sh" run arm64 check docs fuzz
export STRICT=1
out=$(mktemp -d)
# Interrupted: nobody goes on alone
trap 'trap "" TERM; kill 0; rm -rf "$out"; exit 130' INT TERM
trap 'rm -rf "$out"' EXIT
stages=(
	'KUnit arm64' 'KUnit kasan' 'KUnit kcsan' 'kselftests 6.12-rt' 'kselftests 6.12'
	'kselftests 6.1' 'KUnit rt' '8 CPUs' 'benchmarks' 'fraglab' 'fuzz' 'lint'
)

# What races has a short time here, since this runs often, and its own in make kunit,
# make selftests, and by LONG=1. Of a function as KASAN builds it 16 instructions are
# probed, on arm64, where that is slow, 8, and each on rt.
brief='' sample='' few=''
if [ -z "${LONG:-}" ]; then
	brief=percent=30 sample=,max_probes=16 few=,max_probes=8
	export QUARRY_RACE_SECONDS=${QUARRY_RACE_SECONDS:-4}
fi

# An hour is several times what the longest takes. A VM that outlives its stage ends by
# a limit of its own (vm.sh).
within_limit() {
	timeout --foreground -k 30 3600 "$@" || {
		local status=$?
		[ "$status" != 124 ] || echo "  no end within an hour"
		return "$status"
	}
}

run_stage() {
	case $1 in
	'KUnit kasan') PARAMS=$brief$sample${PARAMS:+,$PARAMS} within_limit "$here/kunit.sh" kasan ;;
	'KUnit arm64') PARAMS=$brief$few${PARAMS:+,$PARAMS} within_limit "$here/kunit.sh" arm64 ;;
	KUnit*) PARAMS=$brief${PARAMS:+,$PARAMS} within_limit "$here/kunit.sh" "${1#KUnit }" ;;
	kselftests*) within_limit "$here/selftests.sh" "${1#kselftests }" ;;
	lint) within_limit "$here/lint.sh" ;;
	fuzz) within_limit "$here/fuzz.sh" ;;
	fraglab) within_limit "$here/fraglab-check.sh" ;;
	benchmarks) within_limit "$here/bench-check.sh" ;;
	# What a pool promises when there are more caches than two; nothing races there
	'8 CPUs') THREAD=single SMP=8 TESTS=promise.sh within_limit "$here/selftests.sh" 6.12 ;;
	esac
}

# lane STAGE...: runs those that no other lane has claimed
lane() {
	local i start stage
	for i in "$@"; do
		mkdir "$out/$i.claimed" 2>/dev/null || continue
		start=$SECONDS
		{
			TIMEFORMAT='%0U %0S'
			{ time run_stage "${stages[$i]}" >"$out/$i.log" 2>&1 || echo "$?" >"$out/$i.status"; } 2>"$out/$i.cpu"
		} &
		stage=$!
		echo "$stage" >"$out/$i.claimed/pid"
		wait "$stage" || :
		echo "$((SECONDS - start))" >"$out/$i.time"
	done
}

# tell_failures NAME LOG: what failed, in few lines, for the end, where it is looked for
tell_failures() {
	awk -v name="$1" '
	/====/ { next }
	/vm: FAILED|build: failed/ { rest = 8 }
	/Expected / { rest = 3 }
	/FAILED|not ok |no end within|no (suite|test) ran|\[(CRASHED|ERROR|NO TESTS RUN)\]/ && !rest { rest = 1 }
	/no NMI came|does not (un)?load|lockdep is off|^(heap_fuzz:|SUMMARY:)/ && !rest { rest = 1 }
	rest > 0 && n < 12 { rest--; n++; sub(/^ *(\[[0-9:]+\] *)?/, ""); print substr(name ": " $0, 1, 160) }
	NF && !/^[0-9]+ passed, / { last = $0 }
	END { if (!n) print name ": " last }' "$2"
}

SECONDS=0
# Three VMs at a time wait for one another, since a CPU of one spins while its other is not
# at work: of more lanes than two the last begins with what is light, at the other end.
lanes=${LANES:-3}
for n in $(seq "$lanes"); do
	if [ "$n" -gt 2 ] && [ "$n" = "$lanes" ]; then
		mapfile -t order < <(printf '%s\n' "${!stages[@]}" | tac)
		lane "${order[@]}" &
	else
		lane "${!stages[@]}" &
	fi
done

passed=0 failed=0 skipped=0 cpu=0
table='' failures=''
for i in "${!stages[@]}"; do
	until [ -s "$out/$i.claimed/pid" ]; do sleep 1; done
	echo
	echo "== ${stages[$i]}"
	tail -n +1 -f -s 0.5 --pid="$(cat "$out/$i.claimed/pid")" "$out/$i.log"
	until [ -s "$out/$i.time" ]; do sleep 0.1; done
	if ! tail -n 1 "$out/$i.log" | grep -qE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'; then
		echo "0 passed, 1 failed, 0 skipped" >>"$out/$i.log"
	fi
	read -r p _ f _ s _ < <(tail -n 1 "$out/$i.log")
	# A stage that fails without a test that does: nothing ran, say
	[ ! -e "$out/$i.status" ] || [ "$f" -gt 0 ] || f=1
	[ "$f" = 0 ] || failures+=$(tell_failures "${stages[$i]}" "$out/$i.log")$'\n'
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	read -r user system <"$out/$i.cpu" || user=0 system=0
	cpu=$((cpu + user + system))
	table+=$(printf '%-22s %8d %8d %8d %6d s %6d s' "${stages[$i]}" "$p" "$f" "$s" "$(cat "$out/$i.time")" \
		$((user + system)))$'\n'
done
wait

echo
printf '%-22s %8s %8s %8s %8s %8s\n' stage passed failed skipped time CPU
printf '%s' "$table"
printf '%-22s %8s %8s %8s %6d s %6d s\n' total '' '' '' "$SECONDS" "$cpu"
echo
[ -z "$failures" ] || printf '%s\n' "$failures"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
