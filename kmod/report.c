// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one funnel for misuse: everything that a caller did wrong is said here,
 * in one line, at a limited rate. Counting is the object's own business, so that
 * a line that is not printed is not lost.
 *
 * Context: any, NMI included. printk() is safe there, and so is the rate limit
 * (a trylock). The capture is read under RCU; its text is written by whoever
 * wins @writing, since two reports may come at once.
 */
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>
#include "internal.h"

static struct quarry_capture __rcu *capture;
static DEFINE_MUTEX(capture_lock);
static atomic_t writing;
static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL,
			      DEFAULT_RATELIMIT_BURST);

static bool captured(const char *text)
{
	struct quarry_capture *to;

	rcu_read_lock();
	to = rcu_dereference(capture);
	if (to) {
		atomic_inc(&to->nr);
		if (!atomic_cmpxchg(&writing, 0, 1)) {
			strscpy(to->last, text, sizeof(to->last));
			atomic_set_release(&writing, 0);
		}
	}
	rcu_read_unlock();
	return to;
}

/* By this name the rate limit says how many lines it has left out. */
static __printf(2, 0)
void quarry_say(bool limited, const char *fmt, va_list args)
{
	char text[sizeof_field(struct quarry_capture, last)];

	vsnprintf(text, sizeof(text), fmt, args);
	if (!captured(text) && (!limited || __ratelimit(&limit)))
		pr_warn("quarry: %s\n", text);
}

/* Misuse that a loop may repeat. */
void quarry__report(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	quarry_say(true, fmt, args);
	va_end(args);
}

/* What happens once in an object's life, and is always said. */
void quarry__notice(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	quarry_say(false, fmt, args);
	va_end(args);
}

/* Who is no KUnit test's thread may not silence the others' reports. */
void quarry__capture_begin(struct quarry_capture *to)
{
	atomic_set(&to->nr, 0);
	to->last[0] = '\0';
#if IS_ENABLED(CONFIG_KUNIT)
	if (!current->kunit_test)
		return;
	mutex_lock(&capture_lock);
	rcu_assign_pointer(capture, to);
	mutex_unlock(&capture_lock);
#endif
}
EXPORT_SYMBOL_GPL(quarry__capture_begin);

void quarry__capture_end(void)
{
	mutex_lock(&capture_lock);
	RCU_INIT_POINTER(capture, NULL);
	mutex_unlock(&capture_lock);
	synchronize_rcu();
}
EXPORT_SYMBOL_GPL(quarry__capture_end);
