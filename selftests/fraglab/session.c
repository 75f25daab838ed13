// SPDX-License-Identifier: GPL-2.0-only
/*
 * The replayer: runs a workload over an allocator in a region, keeps the accounts and
 * finds the smallest region that will do. The same lines in the kernel and in user
 * space.
 */
#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif

#include "replay.h"

static void note_rows(struct session *session, const struct extent *extent,
		      int sign)
{
	size_t at = extent->begin, end = at + extent->length;

	while (session->row_bytes && at < end) {
		size_t row = at / session->row_bytes;
		size_t next = (row + 1) * session->row_bytes;
		size_t part = (next < end ? next : end) - at;

		if (row < MAP_ROWS)
			session->rows[row] += sign * (int)part;
		at += part;
	}
}

static void count_op(struct session *session)
{
	session->ops++;
	if (session->ops % 256 == 0)
		breathe();
	if (session->sample_every && session->nr_samples <= SAMPLES &&
	    session->ops % session->sample_every == 0)
		session_sample(session);
}

static void note_peak(struct session *session)
{
	size_t headers = session->blocks * session->backend->header;

	if (session->live <= session->peak_live)
		return;
	session->peak_live = session->live;
	session->blocks_at_peak = session->blocks;
	session->metadata_at_peak = headers + session->backend->fixed +
				    session->blocks * session->backend->node;
	session->waste_at_peak = session->used - headers - session->live;
}

static bool make_room(struct session *session)
{
	size_t room = session->room ? 2 * session->room : 65536;
	struct object *objects;

	if (session->nr < session->room)
		return true;
	objects = session_room(session->objects, session->room, room);
	if (!objects)
		return false;
	session->objects = objects;
	session->room = room;
	return true;
}

size_t session_alloc(struct session *session, size_t size, size_t align)
{
	struct object *object;
	__u64 start;

	if (!make_room(session)) {
		session->failed = true;
		return 0;
	}
	object = &session->objects[session->nr++];
	object->at = NOWHERE;
	object->size = size;
	if (session->failed)
		return session->nr - 1;
	start = count_begin();
	object->at = session->backend->alloc(session->handle, size, align);
	count_end(session, 0, start);
	if (object->at == NOWHERE) {
		session->failed = true;
		return session->nr - 1;
	}
	if (!session->backend->any_align &&
	    (object->at + session->backend->lead) & (align - 1))
		session->unsound = true;
	object->extent = session->backend->extent(session->handle, object->at);
	session->live += size;
	session->used += object->extent.length;
	session->blocks++;
	note_rows(session, &object->extent, 1);
	note_peak(session);
	count_op(session);
	return session->nr - 1;
}

void session_free(struct session *session, size_t number)
{
	struct object *object = &session->objects[number];
	__u64 start;

	if (object->at == NOWHERE)
		return;
	start = count_begin();
	session->backend->free(session->handle, object->at);
	count_end(session, 1, start);
	object->at = NOWHERE;
	session->live -= object->size;
	session->used -= object->extent.length;
	session->blocks--;
	note_rows(session, &object->extent, -1);
	count_op(session);
}

void session_trace(struct session *session)
{
	const struct trace *trace = session->workload->trace;
	const __u8 *at = trace->begin;
	struct trace_event event;
	__u32 nr_allocs = 0;
	__u64 time = 0;

	while (!session->failed &&
	       trace_next(&at, trace->end, &event, &time, &nr_allocs)) {
		if (session->ops == session->most_ops) {
			session->cut = true;
			break;
		}
		if (event.is_free)
			session_free(session, event.object);
		else
			session_alloc(session, event.size, 1ul << event.align);
	}
}

/* What is still live, where the allocator wants it back. */
static void drain(struct session *session)
{
	size_t i;

	for (i = 0; i < session->nr && session->backend->drains; i++) {
		if (session->objects[i].at == NOWHERE)
			continue;
		session->backend->free(session->handle, session->objects[i].at);
		if (i % 256 == 0)
			breathe();
	}
}

void session_run(struct session *session, const struct backend *backend,
		 const struct workload *workload, size_t region)
{
	struct object *objects = session->objects;
	size_t room = session->room, row_bytes = session->row_bytes;
	__u64 sample_every = session->sample_every;
	bool unsound = session->unsound;

	memset(session, 0, sizeof(*session));
	session->backend = backend;
	session->workload = workload;
	session->objects = objects;
	session->room = room;
	session->row_bytes = row_bytes;
	session->sample_every = sample_every;
	session->unsound = unsound;
	session->most_ops = backend->slow ? backend->slow : ~0ull;
	session->region = region;
	session->handle = backend->create(region);
	if (!session->handle) {
		session->failed = true;
		return;
	}
	workload->run(session);
	if (backend->account)
		backend->account(session->handle, &session->account);
	if (backend->verify && !backend->verify(session->handle)) {
		session->unsound = true;
		session->failed = true;
	}
	drain(session);
	backend->destroy(session->handle);
}

/* Ever longer steps down from a region that does, to one that does not, or the peak. */
static size_t search_down(struct session *session, const struct backend *backend,
			  const struct workload *workload, size_t peak,
			  size_t step, size_t *high)
{
	size_t low, down;

	for (down = step;; down *= 2) {
		low = (*high > peak + down ? *high - down : peak) & ~15ul;
		session_run(session, backend, workload, low);
		if (session->failed || low <= peak)
			return low;
		*high = low;
	}
}

/* Ever longer steps up to a region that does; 0 when there is none up to most. */
static size_t search_up(struct session *session, const struct backend *backend,
			const struct workload *workload, size_t peak, size_t most)
{
	size_t high;

	for (high = peak + peak / 16; high < most;
	     high += high / (backend->coarse ? 2 : high > 2 * peak ? 4 : 16) + 64) {
		session_run(session, backend, workload, high);
		if (!session->failed)
			return high;
	}
	session_run(session, backend, workload, most);
	return session->failed ? 0 : most;
}

size_t session_smallest(struct session *session, const struct backend *backend,
			const struct workload *workload, size_t most, __u64 *ops)
{
	size_t peak, low, high, middle, step;

	session->row_bytes = 0;
	session->sample_every = 0;
	session->unsound = false;
	session_run(session, backend->scout ?: backend, workload, most);
	if (session->failed)
		return 0;
	peak = session->peak_live;
	*ops = session->ops;
	high = search_up(session, backend, workload, peak, most);
	if (!high)
		return 0;
	step = (backend->coarse ? high / 100 : peak / 1000) + 16;
	low = search_down(session, backend, workload, peak, step, &high);
	while (high - low > step) {
		middle = (low + (high - low) / 2) & ~15ul;
		if (middle <= low)
			break;
		session_run(session, backend, workload, middle);
		if (session->failed)
			low = middle;
		else
			high = middle;
	}
	return high;
}
