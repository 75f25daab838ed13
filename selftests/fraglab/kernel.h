/* SPDX-License-Identifier: GPL-2.0-only */
/* What the two files of the module that are not the replayer's share. */
#ifndef FRAGLAB_KERNEL_H
#define FRAGLAB_KERNEL_H

#include "replay.h"

extern const struct backend * const kernel_backends[];
extern const unsigned int nr_kernel_backends;
/* Costs nothing; what remains is what measuring does. */
extern const struct backend backend_empty;

#endif /* FRAGLAB_KERNEL_H */
