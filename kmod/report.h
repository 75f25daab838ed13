/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The funnel for misuse reports, as tests see it.
 */
#ifndef QUARRY_REPORT_H
#define QUARRY_REPORT_H

#include <linux/atomic.h>

/**
 * struct quarry_capture - reports of one test, counted and not printed
 * @nr: reports since the capture began
 * @last: text of the latest
 */
struct quarry_capture {
	atomic_t nr;
	char last[256];
};

/*
 * From here to quarry__capture_end() every report of the module, whoever caused it,
 * goes to @capture and not to the log. One capture at a time. It begins for the thread
 * of a KUnit test alone: called by another, it clears @capture and no more.
 * Context: Process context. May sleep (the end waits for a grace period).
 */
void quarry__capture_begin(struct quarry_capture *capture);
void quarry__capture_end(void);

#endif /* QUARRY_REPORT_H */
