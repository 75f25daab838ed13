// SPDX-License-Identifier: GPL-2.0-only
/*
 * open_as_nobody FILE...: can anybody but root open these files, for reading or
 * for writing? Prints those that could be opened and exits with 1; 0 when each
 * was refused for lack of permission; 2 when it could not be tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <unistd.h>

#define NOBODY 65534

static int opens(const char *path, int mode, const char *how)
{
	int fd = open(path, mode);

	if (fd >= 0) {
		printf("%s: %s\n", path, how);
		close(fd);
		return 1;
	}
	if (errno == EACCES)
		return 0;
	perror(path);
	return 2;
}

int main(int argc, char **argv)
{
	int i, found = argc < 2 ? 2 : 0;

	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY)) {
		perror("cannot become nobody");
		return 2;
	}
	for (i = 1; i < argc; i++) {
		found |= opens(argv[i], O_RDONLY, "readable");
		found |= opens(argv[i], O_WRONLY, "writable");
	}
	return found;
}
