#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Makes a kernel ready in the cache and prints its directory, which holds, whatever
# the kernel: `image`, `build/` (KDIR for our modules), `modules/` (its own, with
# modules.dep), `config`, `release` (uname -r), `arch`, `source/` where there is one.
#
#	kernel.sh stock 6.1|6.12|6.12-rt		Debian's packages, unpacked
#	kernel.sh debug kasan|kcsan|rt|arm64|newest	built from linux-source and kernels/*.config
#	kernel.sh debug newest-plain			without debugging, for benchmarks
#	kernel.sh debug kasan-long			without lockdep, for long runs
#	kernel.sh debug kmsan				what it takes to compile for it, no image
#	kernel.sh source [6.12|newest]			the kernel's source alone
#	kernel.sh NAME					one of these names, whichever it is
#
# A directory is keyed by version and by a hash of the configuration, is built under
# another name and renamed as the last step; runs at the same time wait for each other.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/quarry
mkdir -p "$cache/locks"

say() { echo "kernel: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# with_lock NAME FUNCTION ARGS: one builder at a time, and none if it is there already
with_lock() {
	local dir=$cache/$1
	shift
	if [ ! -d "$dir" ]; then
		(
			flock 9
			[ -d "$dir" ] || {
				rm -rf "$dir.partial"
				mkdir -p "$dir.partial"
				"$1" "$dir.partial" "$dir" "${@:2}" 9>&-
				mv -T "$dir.partial" "$dir"
			}
		) 9>"$cache/locks/$(basename "$dir")"
	fi
	echo "$dir"
}

# What the cache has when the archive cannot be asked
newest_cached() {
	local found
	found=$(find "$cache" -maxdepth 1 -name "$1" ! -name '*.partial' | sort -V | tail -n 1)
	[ -n "$found" ] || die "no package of that name, and nothing like $1 in the cache"
	say "the archive did not answer: using $(basename "$found")"
	echo "$found"
}

stock_unpack() {
	local partial=$1 dir=$2 image=$3 headers=$4 release root parts
	release=${image#linux-image-}
	say "downloading $image and its headers"
	mapfile -t parts < <("$here/deb.sh" depends "$headers" |
		grep -E '^linux-(headers-.*-common|kbuild-)' | sort -u)
	# A stock tree without them would be cached for good
	[ "${#parts[@]}" -ge 2 ] || die "$headers: its common headers and kbuild were not found"
	root=$partial/root
	"$here/deb.sh" unpack "$root" "$image" "$headers" "${parts[@]}"
	[ ! -d "$root/usr/lib/modules" ] || [ -d "$root/lib/modules" ] || ln -s usr/lib "$root/lib"
	# The headers find each other by absolute paths
	sed -i "s,/usr/src/,$dir/root/usr/src/," "$root/usr/src/linux-headers-$release/Makefile"
	PATH=$PATH:/sbin:/usr/sbin depmod -b "$root" "$release"
	ln -s "root/boot/vmlinuz-$release" "$partial/image"
	ln -s "root/boot/config-$release" "$partial/config"
	ln -s "root/usr/src/linux-headers-$release" "$partial/build"
	ln -s "root/lib/modules/$release" "$partial/modules"
	echo "$release" >"$partial/release"
	echo x86_64 >"$partial/arch"
}

stock() {
	local series=$1 flavour=amd64 meta image headers
	case $series in *-rt) series=${series%-rt} flavour=rt-amd64 ;; esac
	meta=$series-$flavour
	[ "$series" != 6.1 ] || meta=$flavour
	image=$("$here/deb.sh" depends "linux-image-$meta" | grep -m 1 '^linux-image-' || :)
	headers=$("$here/deb.sh" depends "linux-headers-$meta" | grep -m 1 '^linux-headers-' || :)
	if [ -n "$image" ] && [ "${image#linux-image-}" = "${headers#linux-headers-}" ]; then
		with_lock "stock-$1-${image#linux-image-}" stock_unpack "$image" "$headers"
	else
		newest_cached "stock-$1-[0-9]*"
	fi
}

source_unpack() {
	local partial=$1 package=$3
	say "downloading and unpacking $package (150 MB; about half a minute)"
	"$here/deb.sh" "${suite[@]}" unpack "$partial/deb" "$package"
	tar -C "$partial" --strip-components=1 -xf "$partial/deb/usr/src/$package.tar.xz"
	rm -rf "$partial/deb"
}

# The newest is the one with the highest number in the suites that are ahead of the
# stable release.
suite=()
source_tree() {
	local package=linux-source-$1 version each found
	if [ "$1" = newest ]; then
		package=linux-source-0
		for each in stable-backports experimental; do
			found=$("$here/deb.sh" -s "$each" depends linux-source | grep -m 1 '^linux-source-' || :)
			[ "$(printf '%s\n' "$package" "$found" | sort -V | tail -n 1)" != "$package" ] || continue
			suite=(-s "$each") package=$found
		done
		[ "$package" != linux-source-0 ] || package='linux-source-[0-9]*'
	fi
	version=$("$here/deb.sh" "${suite[@]}" version "$package" || :)
	if [ -n "$version" ]; then
		with_lock "source-${package#linux-source-}-${version//[^0-9A-Za-z.+-]/-}" source_unpack "$package"
	else
		newest_cached "source-${package#linux-source-}-*"
	fi
}

# Each option that a fragment asks for must be in the result as asked.
verify_config() {
	local config=$1
	shift
	cat "$@" | awk -v config="$config" '
		/^CONFIG_/ { split($0, a, "="); want[a[1]] = $0 }
		/^# CONFIG_.* is not set/ { want[$2] = "off" }
		END {
			while ((getline line < config) > 0)
				if (line ~ /^CONFIG_/) { split(line, a, "="); have[a[1]] = line }
			for (o in want) {
				ok = want[o] == "off" ? !(o in have) : have[o] == want[o]
				if (!ok) { print "kernel: did not survive: " want[o] (want[o] == "off" ? " " o : ""); bad = 1 }
			}
			exit bad
		}' >&2
}

# A line now and then, since the build takes minutes
progress() {
	local line objects=0 next=15
	SECONDS=0
	while read -r line; do
		case $line in CC* | AS* | HOSTCC*) objects=$((objects + 1)) ;; esac
		[ "$SECONDS" -ge "$next" ] || continue
		next=$((SECONDS + 15))
		say "$1: $objects objects, $SECONDS s"
	done
}

debug_build() {
	local partial=$1 dir=$2 source=$3 name=$4 arch=$5 image=$6 out=$1/build
	shift 6
	local make=(make -C "$source" "O=$out" "ARCH=$arch" KBUILD_BUILD_TIMESTAMP=1970-01-01
		KBUILD_BUILD_USER=quarry KBUILD_BUILD_HOST=quarry)
	[ "$arch" = "$(uname -m)" ] || make+=("CROSS_COMPILE=${arch/arm64/aarch64}-linux-gnu-")
	[ "$name" != kmsan ] || make+=(CC=clang)
	mkdir -p "$out"
	[ -z "$image" ] ||
		say "building $name (three to five minutes on two processors, three times that beside others)"
	{
		"${make[@]}" tinyconfig
		(cd "$out" && "$source/scripts/kconfig/merge_config.sh" -m -O "$out" "$out/.config" "$@")
		"${make[@]}" olddefconfig
	} >"$partial/log" 2>&1 || { tail -n 20 "$partial/log" >&2; return 1; }
	verify_config "$out/.config" "$@" || return 1
	# Without an image for what is compiled and no more
	"${make[@]}" -j"$(nproc)" ${image:+"${image##*/}"} modules_prepare 2>&1 | tee -a "$partial/log" | progress "$name" ||
		{ tail -n 30 "$partial/log" >&2; return 1; }
	[ -e "$out/${image:-include/generated/asm-offsets.h}" ] || { tail -n 30 "$partial/log" >&2; return 1; }
	# Since 6.13 it names its own place, which is about to change
	sed -i "s,$partial/,$dir/,g" "$out/Makefile"
	if [ -n "$image" ]; then
		cp "$out/vmlinux.symvers" "$out/Module.symvers"
		cp "$out/$image" "$partial/image"
	fi
	cp "$out/.config" "$partial/config"
	cp "$out/include/config/kernel.release" "$partial/release"
	echo "$arch" >"$partial/arch"
	ln -s "$source" "$partial/source"
	mkdir "$partial/modules"
	find "$out" \( -path "$out/scripts" -o -path "$out/tools" \) -prune -o \
		\( -name '*.o' -o -name '*.a' -o -name '.*.cmd' \) -type f -exec rm -f {} +
}

debug() {
	local name=$1 arch=x86_64 image=arch/x86/boot/bzImage version=6.12 fragments source hash f files=()
	case $name in
	kasan) fragments='base x86 kasan gcov' ;;
	kasan-long) fragments='base x86 kasan long' ;;
	kcsan) fragments='base x86 kcsan' ;;
	rt) fragments='base x86 rt' ;;
	kmsan) fragments='base x86 kmsan' image='' ;;
	arm64) fragments='base arm64 kasan' arch=arm64 image=arch/arm64/boot/Image ;;
	newest) fragments='base x86 kasan newest' version=newest ;;
	newest-plain) fragments='base x86 newest plain' version=newest ;;
	*) die "unknown debug kernel '$name'" ;;
	esac
	for f in $fragments; do files+=("$here/kernels/$f.config"); done
	source=$(source_tree "$version")
	hash=$(cat "${files[@]}" | grep -E '^(CONFIG_|# CONFIG_)' | sha256sum | cut -c 1-12)
	with_lock "debug-$name-${source##*/source-}-$hash" debug_build "$source" "$name" "$arch" "$image" "${files[@]}"
}

case ${1:-} in
stock | debug) "$1" "$2" ;;
6.*) stock "$1" ;;
kasan | kasan-long | kcsan | kmsan | rt | arm64 | newest | newest-plain) debug "$1" ;;
source) source_tree "${2:-6.12}" ;;
*) sed -n '/^#\t/s/^#//p' "$0" >&2; exit 2 ;;
esac
