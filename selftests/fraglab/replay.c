// SPDX-License-Identifier: GPL-2.0-only
/*
 * fraglab-replay: replays traces and synthetic workloads over allocators.
 *
 *	fraglab-replay [-w WORKLOAD] [-a ALLOCATOR] OUTPUT_DIRECTORY [TRACE]...
 *	fraglab-replay -c LIMITS TRACE...
 *
 * The measure is the smallest region in which an allocator refuses nothing of a
 * workload: found by bisection to 0.1 % of the peak of live bytes, as if it were
 * monotone in the region's size. An allocator that is given more room may well
 * spread over it. Figures over time and the maps are of a run in that region.
 * All is written as CSV and maps as PGM; a table goes to the terminal.
 *
 * Free is what no block and no header covers; the fragmentation index is
 * 1 - largest hole / free.
 *
 * -c checks instead: that best fit serves each trace in as many bytes as the file says,
 * and the heap in 1 % more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay.h"
#include "trace.h"

static const struct backend * const backends[] = {
	&best_fit, &first_fit, &best_fit_bare, &first_fit_bare, &best_fit_nodes,
	&slab_model, &pools_model,
#ifdef FRAGLAB_HEAP
	&heap_backend, &heap_bounded_backend,
#endif
};

#define NR_BACKENDS	ARRAY_SIZE(backends)
#define HUGE_REGION	((size_t)256 << 20)

static bool unsound;		/* an allocator's verify has failed */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

struct object *session_room(struct object *objects, size_t old, size_t room)
{
	(void)old;
	objects = realloc(objects, room * sizeof(*objects));
	if (!objects)
		die("realloc");
	return objects;
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

void session_sample(struct session *session)
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

/* The file whole, for as long as the program runs. */
static void read_trace(const char *path, struct trace *trace)
{
	FILE *file = fopen(path, "r");
	__u8 *text;
	long length;

	if (!file || fseek(file, 0, SEEK_END))
		die(path);
	length = ftell(file);
	rewind(file);
	text = malloc(length + 1);
	if (!text || fread(text, 1, length, file) != (size_t)length)
		die(path);
	fclose(file);
	if (!trace_open(trace, text, length)) {
		fprintf(stderr, "%s: not a trace, or broken\n", path);
		exit(1);
	}
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
	__u64 ops;

	smallest = session_smallest(session, backend, workload, HUGE_REGION, &ops);
	unsound |= session->unsound;
	if (!smallest) {
		printf("%-16s %-20s failed in %zu bytes\n", workload->name,
		       backend->name, HUGE_REGION);
		unsound = true;
		return;
	}
	session->sample_every = ops / SAMPLES + 1;
	session->row_bytes = (smallest + MAP_ROWS - 1) / MAP_ROWS;
	session_run(session, backend, workload, smallest);
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
			const char *allocator, const char *directory,
			FILE *summary, FILE *series)
{
	static struct session session;
	unsigned int i;

	if (only && strcmp(only, workload->name))
		return;
	for (i = 0; i < NR_BACKENDS; i++)
		if (!allocator || !strcmp(allocator, backends[i]->name))
			measure(&session, backends[i], workload, directory,
				summary, series);
}

/* What the slab of the recorded kernel gave at the peak of what was asked for. */
static void report_given(const struct workload *workload, FILE *given)
{
	const struct trace *trace = workload->trace;
	const __u8 *at = trace->begin;
	size_t room = trace->end - trace->begin, live = 0, gave = 0;
	size_t peak = 0, gave_at_peak = 0;
	struct trace_event event, *allocs = malloc(room * sizeof(*allocs));
	__u32 nr_allocs = 0;
	__u64 time = 0;

	if (!allocs)
		die("malloc");
	while (trace_next(&at, trace->end, &event, &time, &nr_allocs)) {
		if (event.is_free) {
			live -= allocs[event.object].size;
			gave -= allocs[event.object].given;
			continue;
		}
		allocs[event.object] = event;
		live += event.size;
		gave += event.given;
		if (live > peak) {
			peak = live;
			gave_at_peak = gave;
		}
	}
	free(allocs);
	fprintf(given, "%s,%zu,%zu\n", workload->name, peak, gave_at_peak);
	printf("%-16s %-20s %9s %10zu %10.4f\n", workload->name, "slab, recorded", "",
	       peak, (double)gave_at_peak / peak);
}

static struct workload workload_of(const char *path, struct trace *trace)
{
	read_trace(path, trace);
	return (struct workload){ name_of(path), session_trace, trace, false };
}

#ifdef FRAGLAB_HEAP
/* One line; its verdict. */
static bool check(const struct backend *backend, const struct workload *workload,
		  size_t region)
{
	static struct session session;
	bool good;

	session.unsound = false;
	session_run(&session, backend, workload, region);
	good = !session.failed && !session.unsound;
	printf("  %-7s %s: %s in %zu bytes, %.4f of the peak\n",
	       good ? "ok" : "FAILED", workload->name, backend->name, region,
	       (double)region / session.peak_live);
	return good;
}

/*
 * Best fit serves each trace in as many bytes as the file says, by lines "NAME
 * BYTES", and the heap in 1 % more.
 */
static int check_all(const char *limits, char **paths)
{
	FILE *file = fopen(limits, "r");
	unsigned int passed = 0, failed = 0;
	struct trace trace;
	char line[256], *space;

	if (!file)
		die(limits);
	for (; *paths; paths++) {
		struct workload workload = workload_of(*paths, &trace);
		size_t bytes = 0;

		rewind(file);
		while (fgets(line, sizeof(line), file)) {
			space = strchr(line, ' ');
			if (space && !strncmp(line, workload.name, space - line) &&
			    !workload.name[space - line])
				bytes = strtoul(space, NULL, 10);
		}
		if (check(&best_fit, &workload, bytes))
			passed++;
		else
			failed++;
		if (check(&heap_backend, &workload, bytes + bytes / 100))
			passed++;
		else
			failed++;
	}
	fclose(file);
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed || !passed;
}
#else
static int check_all(const char *limits, char **paths)
{
	(void)limits;
	(void)paths;
	fprintf(stderr, "built without the heap\n");
	return 1;
}
#endif

int main(int argc, char **argv)
{
	const char *only = NULL, *allocator = NULL, *limits = NULL, *directory;
	FILE *summary, *series, *given;
	unsigned int i;
	int opt;

	while ((opt = getopt(argc, argv, "w:a:c:")) != -1) {
		switch (opt) {
		case 'w':
			only = optarg;
			break;
		case 'a':
			allocator = optarg;
			break;
		case 'c':
			limits = optarg;
			break;
		default:
			return 2;
		}
	}
	if (limits)
		return check_all(limits, argv + optind);
	if (optind >= argc) {
		fprintf(stderr, "usage: fraglab-replay [-w NAME] [-a NAME] DIRECTORY [TRACE]...\n");
		return 2;
	}
	directory = argv[optind++];
	summary = open_in(directory, "summary.csv");
	series = open_in(directory, "series.csv");
	given = open_in(directory, "given.csv");
	fprintf(summary, "workload,allocator,operations,peak_live,smallest_region,ratio,");
	fprintf(summary, "mean_index,largest_hole_at_end,inner_waste_at_peak,metadata_at_peak\n");
	fprintf(series, "workload,allocator,operation,live,free,largest_hole,index\n");
	fprintf(given, "trace,peak_live,given_at_peak\n");
	printf("%-16s %-20s %9s %10s %10s %7s %10s %9s %9s\n", "workload",
	       "allocator", "ops", "peak live", "smallest", "index", "hole, end",
	       "inner", "metadata");
	for (; optind < argc; optind++) {
		struct trace trace;
		struct workload workload = workload_of(argv[optind], &trace);

		measure_all(&workload, only, allocator, directory, summary, series);
		report_given(&workload, given);
	}
	for (i = 0; i < nr_workloads; i++)
		measure_all(&workloads[i], only, allocator, directory, summary,
			    series);
	fclose(summary);
	fclose(series);
	fclose(given);
	return unsound;
}
