#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# In the VM: the kernel's kselftest runner over /kselftest, or over the tests that
# /kselftest/selected names.

# busybox's timeout lacks the option that the runner gives
rm -f /usr/bin/timeout
cat >/usr/bin/timeout <<'END'
#!/bin/sh
[ "$1" != --foreground ] || shift
exec busybox timeout "$@"
END
chmod +x /usr/bin/timeout

cd /kselftest || exit 1
options=
[ ! -e selected ] || options=$(sed "s/[^ ][^ ]*/-t quarry:&/g" selected)
# shellcheck disable=SC2086
sh ./run_kselftest.sh $options
for module in $(lsmod | awk '$4 == "" && /quarry|pktlog/ { print $1 }'); do
	rmmod "$module"
done
rmmod quarry 2>/dev/null
! lsmod | grep -q '^quarry'
