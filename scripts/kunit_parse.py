#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""kunit.py parse FILE >FILE.parsed, of each: its start takes longer than its work.

	kunit_parse.py FOLDER-OF-KUNIT.PY FILE...
"""
import os
import sys
import traceback

sys.path.insert(0, sys.argv[1])
import kunit  # noqa: E402, of that folder

for path in sys.argv[2:]:
	with open(path + ".parsed", "w", encoding="utf-8") as parsed:
		os.dup2(parsed.fileno(), sys.stdout.fileno())
		try:
			kunit.main(["parse", path])
		except SystemExit:
			pass  # a test failed: that is read in what was printed
		except Exception:  # no result, and so a failure of that suite
			traceback.print_exc(file=sys.stdout)
		sys.stdout.flush()
