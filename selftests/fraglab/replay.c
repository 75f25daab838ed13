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

	smallest = session_smallest(session, backend, workload, HUGE_REGION, 1);
	unsound |= session->unsound;
	if (!smallest) {
		printf("%-16s %-20s failed in %zu bytes\n", workload->name,
		       backend->name, HUGE_REGION);
		unsound = true;
		return;
	}
	session->sample_every = session->ops / SAMPLES + 1;
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
		struct trace trace;
		struct workload workload = {
			name_of(argv[optind]), session_trace, &trace, false
		};

		read_trace(argv[optind], &trace);
		measure_all(&workload, only, directory, summary, series);
	}
	for (i = 0; i < nr_workloads; i++)
		measure_all(&workloads[i], only, directory, summary, series);
	fclose(summary);
	fclose(series);
	return unsound;
}
