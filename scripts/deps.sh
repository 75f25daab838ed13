#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sees to it that Debian's packages for a purpose are installed: run, check, arm64,
# coverage, mutants, fuzz, plots or docs. Asks dpkg alone when they are; installs as root, or by sudo where that asks
# nothing; else prints the one command to type.
#
#	deps.sh PURPOSE...
set -eu

build='bc bison busybox-static cpio flex gcc kmod libc6-dev libelf-dev libssl-dev make pahole perl python3 rsync xz-utils'
want=''
for purpose in "$@"; do
	case $purpose in
	run) want="$want $build qemu-system-x86" ;;
	arm64) want="$want $build qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;;
	check) want="$want $build ccache codespell shellcheck sparse" ;;
	coverage) want="$want $build gcovr" ;;
	mutants) want="$want $build patch" ;;
	fuzz) want="$want clang libclang-rt-dev libc6-dev" ;;
	plots) want="$want $build python3-matplotlib" ;;
	docs) want="$want $build python3-sphinx" ;;
	*)
		echo "deps.sh: unknown purpose '$purpose'" >&2
		exit 2
		;;
	esac
done

missing() {
	local package
	for package in $(tr ' ' '\n' <<<"$want" | sort -u); do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
			echo "$package"
	done
}

mapfile -t packages < <(missing)
[ "${#packages[@]}" -gt 0 ] || exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
	echo "sudo apt-get update && sudo apt-get install --no-install-recommends ${packages[*]}"
	exit 1
fi

install() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		timeout --foreground -k 10 1800 apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
}
echo "Installing ${packages[*]}" >&2
install 2>/dev/null || {
	"${as_root[@]}" timeout --foreground -k 10 600 apt-get update -qq >&2
	install >&2
}
