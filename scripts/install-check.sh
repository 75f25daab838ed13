#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the README says of a real machine, done as it says in folders of our own, for the
# stock 6.12: make install, a client outside the tree with the README's Makefile, both
# modules loaded in a VM, make uninstall, and DKMS. The tree is a copy, and what git does
# not know of is not in it. Prints nothing when all is well.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quarry
"$here/deps.sh" run
kernel=$("$here/kernel.sh" stock 6.12)
release=$(cat "$kernel/release")
# One place, since what a compiler was told is its folder too
out=$cache/install-check
mkdir -p "$cache/locks"
exec 8>"$cache/locks/install-check"
flock 8
rm -rf "$out"
mkdir "$out"
trap 'rm -rf "$out"' EXIT
root=$out/root client=$out/client
jobs=$(nproc)
# What the last check compiled is not compiled again
export PATH=/usr/lib/ccache:$PATH CCACHE_DIR=$cache/ccache CCACHE_MAXSIZE=500M
export DESTDIR=$root KDIR=$kernel/build MAKEFLAGS="-s -j$jobs"

fail() {
	echo "install-check: $*"
	exit 1
}

# step COMMAND...: what it prints is shown when it fails
step() {
	"$@" >"$out/log" 2>&1 8>&- || {
		tail -n 30 "$out/log"
		fail "failed: $*"
	}
}

block() {
	sh "$top/Documentation/readme_block.sh" "$1"
}

# The package, unpacked: installed it would build for each kernel that comes
dkms_script() {
	(
		flock 9
		[ -x "$cache/dkms/usr/sbin/dkms" ] || {
			rm -rf "$cache/dkms.partial" "$cache/dkms"
			"$here/deb.sh" unpack "$cache/dkms.partial" dkms 9>&-
			mv -T "$cache/dkms.partial" "$cache/dkms"
		}
	) 9>"$cache/locks/dkms"
	echo "$cache/dkms/usr/sbin/dkms"
}

mkdir -p "$out/tree" "$root" "$client" "$out/src" "$out/dkms"
cd "$top"
git ls-files -z --cached --others --exclude-standard | while IFS= read -rd '' f; do
	[ ! -e "$f" ] || printf '%s\0' "$f"
done | rsync -a --from0 --files-from=- ./ "$out/tree/"

step make -C "$out/tree" install
installed=$(find "$root/lib/modules/$release/updates" -name 'quarry.ko*')
[ -n "$installed" ] || fail "no quarry.ko below lib/modules/$release/updates"
diff -r "$top/include/quarry" "$root/usr/src/quarry/include/quarry" ||
	fail "the headers that are installed are others"
[ -z "$(find "$out/tree/samples" "$out/tree/selftests" -name '*.ko')" ] ||
	fail "make install builds more than it installs"

# A newer kernel may have it compressed
case $installed in
*.xz) xz -dc "$installed" >"$out/quarry.ko" ;;
*) cp "$installed" "$out/quarry.ko" ;;
esac
block hello.c >"$client/hello.c"
block Makefile >"$client/Makefile"
step make -C "$client" QUARRY="$root/usr/src/quarry"
depends=$(PATH=$PATH:/sbin:/usr/sbin modinfo -F depends "$client/hello.ko")
[ "$depends" = quarry ] || fail "hello.ko depends on '$depends'"
step env TIMEOUT=120 "$here/vm.sh" "$kernel" "$here/jobs/install-check.sh" \
	-f "$out/quarry.ko" -f "$client/hello.ko"

step make -C "$out/tree" uninstall
left=$(cd "$root" && find . -type f -path '*quarry*')
[ -z "$left" ] || fail "make uninstall leaves $left"

# The README's commands, with folders of our own. What is signed is signed by a key of the
# machine's, which is none of ours.
options="--dkmstree $out/dkms --sourcetree $out/src --kernelsourcedir $kernel/build -k $release -a x86_64"
dkms=$(dkms_script)
block dkms | sed -E "s,^ *sudo ,,; s,/usr/src/,$out/src/,
	s,^dkms install (.*),sign_file=/dev/null $dkms build \\1 $options," >"$out/commands"
grep -q 'dkms build quarry/' "$out/commands" || fail "the README has no command for DKMS"
cd "$out/tree"
step env -u DESTDIR -u KDIR -u MAKEFLAGS bash -eu "$out/commands"
built=$(find "$out/dkms" -path "*/$release/x86_64/module/quarry.ko*")
[ -n "$built" ] || fail "DKMS has built no quarry.ko"
version=$(PATH=$PATH:/sbin:/usr/sbin modinfo -F version "$built")
[ "$built" != "${built#"$out/dkms/quarry/$version/"}" ] ||
	fail "the package's version is not the module's, $version"
