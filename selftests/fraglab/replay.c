// SPDX-License-Identifier: GPL-2.0-only
/*
 * fraglab-replay: replays traces and synthetic workloads over allocators.
 *
 *	fraglab-replay [-w NAME] OUTPUT_DIRECTORY [TRACE]...
 *
 * The measure is the smallest region in which an allocator refuses nothing of a
 * workload: found by bisection to 0.1 % of the peak of live bytes, as if it were
 * monotone in the region's size. An allocator that is given more room may well
 * spread over it. Figures over time and the maps are of a run in that region.
 * All is written as CSV and maps as PGM; a table goes to the terminal.
 *
 * Free is what no block and no header covers; the fragmentation index is
 * 1 - largest hole / free.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay.h"
#include "trace.h"

static const struct backend * const backends[] = {
	&best_fit, &first_fit, &best_fit_bare, &first_fit_bare, &slab_model,
#ifdef FRAGLAB_HEAP
	&heap_backend, &heap_bounded_backend,
#endif
};

#define NR_BACKENDS	ARRAY_SIZE(backends)
#define HUGE_REGION	((size_t)256 << 20)

static struct trace_event *events;
static size_t nr_events;
static bool unsound;		/* an allocator's verify has failed */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

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

static int by_begin(const void *a, const void *b)
{
	size_t x = ((const struct extent *)a)->begin;
	size_t y = ((const struct extent *)b)->begin;

	return x < y ? -1 : x > y;
}

/* The largest hole of the region. */
static size_t largest_hole(const struct session *session)
{
	struct extent *extents = malloc((session->blocks + 1) * sizeof(*extents));
	size_t i, nr = 0, end = 0, most = 0;

	if (!extents)
		die("malloc");
	for (i = 0; i < session->nr; i++)
		if (session->objects[i].at != NOWHERE)
			extents[nr++] = session->objects[i].extent;
	qsort(extents, nr, sizeof(*extents), by_begin);
	extents[nr] = (struct extent){ session->region, 0 };
	for (i = 0; i <= nr; i++) {
		if (extents[i].begin - end > most)
			most = extents[i].begin - end;
		end = extents[i].begin + extents[i].length;
	}
	free(extents);
	return most;
}

static void take_sample(struct session *session)
{
	unsigned int row, nr = session->nr_samples++;

	session->samples[nr] = (struct sample){
		.op = session->ops, .live = session->live,
		.used = session->used, .largest_hole = largest_hole(session),
	};
	for (row = 0; row < MAP_ROWS; row++)
		session->map[nr][row] =
			session->rows[row] * 255ull / session->row_bytes;
}

static void count_op(struct session *session)
{
	session->ops++;
	if (session->sample_every && session->nr_samples <= SAMPLES &&
	    session->ops % session->sample_every == 0)
		take_sample(session);
}

static void note_peak(struct session *session)
{
	size_t headers = session->blocks * session->backend->header;

	if (session->live <= session->peak_live)
		return;
	session->peak_live = session->live;
	session->metadata_at_peak = headers + session->backend->fixed;
	session->waste_at_peak = session->used - headers - session->live;
}

size_t session_alloc(struct session *session, size_t size, size_t align)
{
	struct object *object;

	if (session->nr == session->room) {
		session->room = session->room ? 2 * session->room : 65536;
		session->objects = realloc(session->objects,
					   session->room * sizeof(*object));
		if (!session->objects)
			die("realloc");
	}
	object = &session->objects[session->nr++];
	object->at = NOWHERE;
	object->size = size;
	if (session->failed)
		return session->nr - 1;
	object->at = session->backend->alloc(session->handle, size, align);
	if (object->at == NOWHERE) {
		session->failed = true;
		return session->nr - 1;
	}
	if ((object->at + session->backend->lead) & (align - 1)) {
		fprintf(stderr, "%s: misaligned\n", session->backend->name);
		exit(1);
	}
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

	if (object->at == NOWHERE)
		return;
	session->backend->free(session->handle, object->at);
	object->at = NOWHERE;
	session->live -= object->size;
	session->used -= object->extent.length;
	session->blocks--;
	note_rows(session, &object->extent, -1);
	count_op(session);
}

/* The trace that was read last. */
static void run_trace(struct session *session)
{
	size_t i;

	for (i = 0; i < nr_events && !session->failed; i++) {
		if (events[i].is_free)
			session_free(session, events[i].object);
		else
			session_alloc(session, events[i].size,
				      1ul << events[i].align);
	}
}

/* The file whole; the command it was recorded under to the terminal. */
static void read_trace(const char *path)
{
	FILE *file = fopen(path, "r");
	const __u8 *at, *end;
	__u32 nr_allocs = 0;
	__u64 time = 0;
	__u8 *text;
	long length;

	if (!file || fseek(file, 0, SEEK_END))
		die(path);
	length = ftell(file);
	rewind(file);
	text = malloc(length + 1);
	events = realloc(events, (length / 3 + 1) * sizeof(*events));
	if (!text || !events || fread(text, 1, length, file) != (size_t)length)
		die(path);
	fclose(file);
	text[length] = 0;
	at = (__u8 *)strstr((char *)text, "\n\n");
	if (strncmp((char *)text, "quarry-trace: 1\n", 16) || !at) {
		fprintf(stderr, "%s: not a trace\n", path);
		exit(1);
	}
	end = text + length;
	at += 2;
	for (nr_events = 0; trace_next(&at, end, &events[nr_events], &time,
				       &nr_allocs); nr_events++)
		;
	if (!at) {
		fprintf(stderr, "%s: broken after %zu events\n", path, nr_events);
		exit(1);
	}
	free(text);
}

/* Runs it once, in a region of that size; the session's figures stay. */
static void run(struct session *session, const struct backend *backend,
		const struct workload *workload, size_t region)
{
	struct object *objects = session->objects;
	size_t room = session->room, row_bytes = session->row_bytes;
	__u64 sample_every = session->sample_every;

	memset(session, 0, sizeof(*session));
	session->backend = backend;
	session->objects = objects;
	session->room = room;
	session->row_bytes = row_bytes;
	session->sample_every = sample_every;
	session->region = region;
	session->handle = backend->create(region);
	if (!session->handle) {
		session->failed = true;
		return;
	}
	workload->run(session);
	if (backend->verify && !backend->verify(session->handle)) {
		fprintf(stderr, "%s: verify failed after %s in %zu bytes\n",
			backend->name, workload->name, region);
		unsound = true;
		session->failed = true;
	}
	backend->destroy(session->handle);
}

static size_t smallest_region(struct session *session,
			      const struct backend *backend,
			      const struct workload *workload, size_t peak)
{
	size_t step = peak / 1000 + 16, low, high = peak + peak / 16, down = step;

	for (run(session, backend, workload, high); session->failed;
	     run(session, backend, workload, high)) {
		high += high / 16 + 64;
		if (high > HUGE_REGION) {
			fprintf(stderr, "%s: %s refused in %zu bytes\n",
				workload->name, backend->name, HUGE_REGION);
			exit(1);
		}
	}
	/* Ever longer steps down, then halves. */
	for (;; down *= 2) {
		low = high > peak + down ? high - down : peak;
		run(session, backend, workload, low & ~15ul);
		if (session->failed || low == peak)
			break;
		high = low & ~15ul;
	}
	while (high - low > step) {
		size_t middle = (low + (high - low) / 2) & ~15ul;

		run(session, backend, workload, middle);
		if (session->failed)
			low = middle;
		else
			high = middle;
	}
	return high;
}

static void write_map(const struct session *session, const char *directory,
		      const char *workload)
{
	char path[512];
	unsigned int row, i;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.%s.pgm", directory, workload,
		 session->backend->name);
	file = fopen(path, "w");
	if (!file)
		die(path);
	fprintf(file, "P5\n%u %u\n255\n", session->nr_samples, MAP_ROWS);
	for (row = MAP_ROWS; row--;)
		for (i = 0; i < session->nr_samples; i++)
			fputc(session->map[i][row], file);
	fclose(file);
}

static void write_series(const struct session *session, FILE *series,
			 const char *workload)
{
	unsigned int i;

	for (i = 0; i < session->nr_samples; i++) {
		const struct sample *sample = &session->samples[i];
		size_t spare = session->region - sample->used;

		fprintf(series, "%s,%s,%llu,%zu,%zu,%zu,%.4f\n", workload,
			session->backend->name, (unsigned long long)sample->op,
			sample->live, spare, sample->largest_hole,
			spare ? 1 - (double)sample->largest_hole / spare : 0);
	}
}

/* Of the samples, the index's mean. */
static double mean_index(const struct session *session)
{
	double sum = 0;
	unsigned int i;

	for (i = 0; i < session->nr_samples; i++) {
		const struct sample *sample = &session->samples[i];
		size_t spare = session->region - sample->used;

		if (spare)
			sum += 1 - (double)sample->largest_hole / spare;
	}
	return session->nr_samples ? sum / session->nr_samples : 0;
}

static void report(const struct session *session, const char *workload,
		   FILE *summary)
{
	size_t peak = session->peak_live, hole = 0;

	if (session->nr_samples)
		hole = session->samples[session->nr_samples - 1].largest_hole;
	fprintf(summary, "%s,%s,%llu,%zu,%zu,%.4f,%.4f,%zu,%zu,%zu\n", workload,
		session->backend->name, (unsigned long long)session->ops, peak,
		session->region, (double)session->region / peak,
		mean_index(session), hole, session->waste_at_peak,
		session->metadata_at_peak);
	printf("%-16s %-20s %9llu %10zu %10.4f %7.3f %10zu %8.2f%% %8.2f%%\n",
	       workload, session->backend->name,
	       (unsigned long long)session->ops, peak,
	       (double)session->region / peak, mean_index(session), hole,
	       100.0 * session->waste_at_peak / peak,
	       100.0 * session->metadata_at_peak / peak);
	fflush(stdout);
}

static void measure(struct session *session, const struct backend *backend,
		    const struct workload *workload, const char *directory,
		    FILE *summary, FILE *series)
{
	size_t smallest;

	session->row_bytes = 0;
	session->sample_every = 0;
	run(session, backend, workload, HUGE_REGION);
	if (session->failed) {
		printf("%-16s %-20s failed in %zu bytes\n", workload->name,
		       backend->name, HUGE_REGION);
		return;
	}
	smallest = smallest_region(session, backend, workload,
				   session->peak_live);
	/* The last that was tried may have been too small. */
	run(session, backend, workload, smallest);
	session->sample_every = session->ops / SAMPLES + 1;
	session->row_bytes = (smallest + MAP_ROWS - 1) / MAP_ROWS;
	run(session, backend, workload, smallest);
	write_map(session, directory, workload->name);
	write_series(session, series, workload->name);
	report(session, workload->name, summary);
}

static FILE *open_in(const char *directory, const char *name)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	if (!file)
		die(path);
	return file;
}

/* The file's name up to its first dot. */
static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = strdup(slash ? slash + 1 : path);

	if (!name)
		die("strdup");
	name[strcspn(name, ".")] = 0;
	return name;
}

static void measure_all(const struct workload *workload, const char *only,
			const char *directory, FILE *summary, FILE *series)
{
	static struct session session;
	unsigned int i;

	if (only && strcmp(only, workload->name))
		return;
	for (i = 0; i < NR_BACKENDS; i++)
		measure(&session, backends[i], workload, directory, summary,
			series);
}

int main(int argc, char **argv)
{
	const char *only = NULL, *directory;
	FILE *summary, *series;
	unsigned int i;
	int opt;

	while ((opt = getopt(argc, argv, "w:")) != -1) {
		if (opt != 'w')
			return 2;
		only = optarg;
	}
	if (optind >= argc) {
		fprintf(stderr, "usage: fraglab-replay [-w NAME] DIRECTORY [TRACE]...\n");
		return 2;
	}
	directory = argv[optind++];
	summary = open_in(directory, "summary.csv");
	series = open_in(directory, "series.csv");
	fprintf(summary, "workload,allocator,operations,peak_live,smallest_region,ratio,");
	fprintf(summary, "mean_index,largest_hole_at_end,inner_waste_at_peak,metadata_at_peak\n");
	fprintf(series, "workload,allocator,operation,live,free,largest_hole,index\n");
	printf("%-16s %-20s %9s %10s %10s %7s %10s %9s %9s\n", "workload",
	       "allocator", "ops", "peak live", "smallest", "index", "hole, end",
	       "inner", "metadata");
	for (; optind < argc; optind++) {
		struct workload workload = { name_of(argv[optind]), run_trace };

		read_trace(argv[optind]);
		measure_all(&workload, only, directory, summary, series);
	}
	for (i = 0; i < nr_workloads; i++)
		measure_all(&workloads[i], only, directory, summary, series);
	fclose(summary);
	fclose(series);
	return unsound;
}
