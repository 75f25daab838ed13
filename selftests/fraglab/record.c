// SPDX-License-Identifier: GPL-2.0-only
/*
 * fraglab-record: runs a command and writes what the kernel's slab gave out and
 * took back meanwhile, on all CPUs, for whomever, as a trace (trace.h).
 *
 *	fraglab-record [-b KILOBYTES] OUTPUT COMMAND [ARGUMENT]...
 *
 * As root; tracefs at /sys/kernel/tracing or below debugfs. The events are those
 * of tracepoints kmem:kmalloc, kfree, kmem_cache_alloc and kmem_cache_free (and
 * their _node variants before 6.3). They are kept in the ring buffer, -b kilobytes
 * a CPU, until the command has ended; if that was too small nothing is written.
 *
 * What the tracepoints do not show is inferred: an address that is allocated while
 * it is live was freed unseen (by kfree_rcu() or in bulk), just before. Frees of
 * objects that were there before the recording are left out. The alignment of a
 * slab cache's objects is the cache's, that of kmalloc 8 bytes: that it gives
 * powers of two by their size is not something its callers are known to want.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace.h"

#define MAX_CPUS	64
#define NONE		(~0u)

/* A tracepoint: where its fields are, in bytes from the record's begin. */
struct source {
	const char *name;
	int id;
	int is_free, is_slab;
	int ptr, req, alloc, cache;
};

static struct source sources[] = {
	{ .name = "kmalloc" }, { .name = "kmalloc_node" },
	{ .name = "kfree", .is_free = 1 },
	{ .name = "kmem_cache_alloc", .is_slab = 1 },
	{ .name = "kmem_cache_alloc_node", .is_slab = 1 },
	{ .name = "kmem_cache_free", .is_free = 1, .is_slab = 1 },
};

#define NR_SOURCES	ARRAY_SIZE(sources)

/* An event as it was read. */
struct raw {
	__u64 time;		/* ns */
	__u64 address;
	__u32 size, given;
	__u8 cpu, is_free, is_slab, align;
};

static struct raw *raws;
static size_t nr_raws, room_raws;
static const char *tracefs = "/sys/kernel/tracing";
static pid_t self;

static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "fraglab-record: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

static void *grow(void *array, size_t *room, size_t size)
{
	*room = *room ? *room * 2 : 65536;
	array = realloc(array, *room * size);
	if (!array)
		die("no memory");
	return array;
}

/* A file of tracefs, whole, or NULL. */
static char *slurp(const char *format, ...)
{
	static char text[65536];
	char path[512];
	va_list args;
	ssize_t length;
	int fd;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return NULL;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = 0;
	return text;
}

static int set(const char *value, const char *format, ...)
{
	char path[512];
	va_list args;
	int fd, ok;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return 0;
	ok = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	close(fd);
	return ok;
}

static int offset_of(const char *format, const char *field)
{
	char wanted[64], *at;
	int offset;

	snprintf(wanted, sizeof(wanted), " %s;", field);
	at = strstr(format, wanted);
	if (!at) {
		snprintf(wanted, sizeof(wanted), "*%s;", field);
		at = strstr(format, wanted);
	}
	at = at ? strstr(at, "offset:") : NULL;
	if (!at)
		return -1;
	offset = atoi(at + strlen("offset:"));
	return offset;
}

static void find_sources(void)
{
	unsigned int i, found = 0;

	for (i = 0; i < NR_SOURCES; i++) {
		struct source *source = &sources[i];
		char *format = slurp("%s/events/kmem/%s/format", tracefs,
				     source->name);

		source->id = -1;
		if (!format)
			continue;
		source->id = atoi(strstr(format, "ID: ") + 4);
		source->ptr = offset_of(format, "ptr");
		source->req = offset_of(format, "bytes_req");
		source->alloc = offset_of(format, "bytes_alloc");
		source->cache = offset_of(format, "name");
		if (source->ptr < 0 || (!source->is_free && source->req < 0))
			die("%s has other fields than expected", source->name);
		found++;
	}
	if (found < 4)
		die("no kmem tracepoints at %s", tracefs);
}

static void switch_events(const char *value)
{
	unsigned int i;

	for (i = 0; i < NR_SOURCES; i++)
		if (sources[i].id >= 0 &&
		    !set(value, "%s/events/kmem/%s/enable", tracefs,
			 sources[i].name))
			die("%s: %s", sources[i].name,
			    strerror(errno));
}

static __u64 number(const __u8 *at, unsigned int size)
{
	__u64 value = 0;

	memcpy(&value, at, size);
	return value;
}

/* log2 of what a slab cache aligns its objects to, at least 8 bytes. */
static __u8 cache_align(const char *name)
{
	static struct { char name[64]; __u8 align; } known[512];
	static unsigned int nr;
	unsigned int i, align;
	char *text;

	for (i = 0; i < nr; i++)
		if (!strcmp(known[i].name, name))
			return known[i].align;
	text = slurp("/sys/kernel/slab/%s/align", name);
	align = text ? atoi(text) : 0;
	for (i = 3; align > 8 && 1u << i < align && i < 12; i++)
		;
	if (nr < ARRAY_SIZE(known)) {
		snprintf(known[nr].name, sizeof(known[nr].name), "%s", name);
		known[nr++].align = i;
	}
	return i;
}

static void take(const __u8 *record, __u64 time, __u8 cpu)
{
	struct source *source = NULL;
	unsigned int i;
	struct raw raw = { .time = time, .cpu = cpu, .align = 3 };

	for (i = 0; i < NR_SOURCES; i++)
		if (sources[i].id == (int)number(record, 2))
			source = &sources[i];
	if (!source || (pid_t)number(record + 4, 4) == self)
		return;
	raw.is_free = source->is_free;
	raw.is_slab = source->is_slab;
	raw.address = number(record + source->ptr, 8);
	if (raw.address <= 16)
		return;
	if (!raw.is_free) {
		raw.size = number(record + source->req, 8);
		raw.given = number(record + source->alloc, 8);
	} else if (source->cache >= 0) {
		raw.align = cache_align((const char *)record +
					number(record + source->cache, 2));
	}
	if (nr_raws == room_raws)
		raws = grow(raws, &room_raws, sizeof(*raws));
	raws[nr_raws++] = raw;
}

/*
 * A page of the ring buffer: a time stamp, the length of what is in it, and
 * entries of a word with the kind in the low 5 bits and the time since the entry
 * before in the other 27. Kinds up to 28 are lengths in words.
 */
static void take_page(const __u8 *page, __u8 cpu)
{
	__u64 time = number(page, 8);
	size_t at = 16, end = 16 + (number(page + 8, 8) & 0xfffff);

	while (at + 4 <= end) {
		__u32 word = number(page + at, 4), kind = word & 31;
		__u64 delta = word >> 5;
		size_t length;

		switch (kind) {
		case 29:	/* padding: the rest of the page, or a hole */
			if (!delta)
				return;
			at += 4 + number(page + at + 4, 4);
			time += delta;
			continue;
		case 30:	/* a longer time */
			time += delta | number(page + at + 4, 4) << 27;
			at += 8;
			continue;
		case 31:	/* an absolute one, of 59 bits */
			time = (time & ~((1ull << 59) - 1)) | delta |
			       number(page + at + 4, 4) << 27;
			at += 8;
			continue;
		case 0:
			length = number(page + at + 4, 4);
			at += 8;
			length -= 4;
			break;
		default:
			length = kind * 4;
			at += 4;
		}
		time += delta;
		take(page + at, time, cpu);
		at += (length + 3) & ~3ul;
	}
}

static void take_cpu(unsigned int cpu)
{
	static __u8 page[65536];
	char path[512];
	char *text;
	int fd;

	text = slurp("%s/per_cpu/cpu%u/stats", tracefs, cpu);
	if (!text)
		return;
	text = strstr(text, "overrun: ");
	if (text && atoll(text + 9))
		die("the ring buffer was too small: %lld events lost on CPU %u; -b more",
		    atoll(text + 9), cpu);
	snprintf(path, sizeof(path), "%s/per_cpu/cpu%u/trace_pipe_raw", tracefs,
		 cpu);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	while (read(fd, page, getpagesize()) > 0)
		take_page(page, cpu);
	close(fd);
}

static int earlier(const void *a, const void *b)
{
	const struct raw *x = a, *y = b;

	return x->time < y->time ? -1 : x->time > y->time;
}

/* Address to the object that is live there: open addressing, never shrinks. */
struct place {
	__u64 address;
	__u32 object;
};

static struct place *places;
static size_t nr_places;

static struct place *place_of(__u64 address)
{
	size_t at = (address * 0x9E3779B97F4A7C15ull) >> 20;

	for (at &= nr_places - 1; places[at].address; at = (at + 1) & (nr_places - 1))
		if (places[at].address == address)
			return &places[at];
	places[at] = (struct place){ address, NONE };
	return &places[at];
}

/* Alignments are known at the free, by the cache's name: the first pass. */
static void learn_aligns(void)
{
	__u32 i;

	for (i = 0; i < nr_raws; i++) {
		struct place *place = place_of(raws[i].address);

		if (!raws[i].is_free) {
			place->object = i;
		} else if (place->object != NONE) {
			raws[place->object].align = raws[i].align;
			place->object = NONE;
		}
	}
}

static void write_trace(const char *path, char **command)
{
	__u32 i, nr_allocs = 0, unseen = 0, foreign = 0, events = 0;
	size_t room = nr_raws * 40 + 4096, length = 0;
	__u8 *body = malloc(room);
	__u64 time = 0;
	struct utsname name;
	FILE *file;

	for (nr_places = 1024; nr_places < 2 * nr_raws; nr_places *= 2)
		;
	places = calloc(nr_places, sizeof(*places));
	if (!body || !places)
		die("no memory");
	qsort(raws, nr_raws, sizeof(*raws), earlier);
	learn_aligns();
	memset(places, 0, nr_places * sizeof(*places));
	for (i = 0; i < nr_raws; i++) {
		struct raw *raw = &raws[i];
		struct place *place = place_of(raw->address);
		struct trace_event event = {
			.time = (raw->time - raws[0].time) / 1000,
			.cpu = raw->cpu, .is_slab = raw->is_slab,
		};

		if (place->object != NONE) {
			event.is_free = 1;
			event.object = place->object;
			length += trace_write(body + length, &event, time,
					      nr_allocs);
			time = event.time;
			place->object = NONE;
			events++;
			unseen += !raw->is_free;
		} else if (raw->is_free) {
			foreign++;
		}
		if (raw->is_free)
			continue;
		event.is_free = 0;
		event.size = raw->size;
		event.given = raw->given > raw->size ? raw->given : raw->size;
		event.align = raw->align;
		length += trace_write(body + length, &event, time, nr_allocs);
		time = event.time;
		place->object = nr_allocs++;
		events++;
	}
	file = fopen(path, "w");
	if (!file)
		die("%s: %s", path, strerror(errno));
	uname(&name);
	fprintf(file, "quarry-trace: 1\nkernel: %s\nmachine: %s\ncommand:", name.release,
		name.machine);
	for (; *command; command++)
		fprintf(file, " %s", *command);
	fprintf(file, "\nevents: %u\nallocations: %u\n", events, nr_allocs);
	fprintf(file, "frees-unseen: %u\nfrees-of-older: %u\n\n", unseen,
		foreign);
	if (fwrite(body, 1, length, file) != length || fclose(file))
		die("%s: %s", path, strerror(errno));
	fprintf(stderr, "fraglab-record: %u events, %u allocations, ", events,
		nr_allocs);
	fprintf(stderr, "%u frees unseen, %u of older objects\n", unseen,
		foreign);
}

static int run(char **command)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		die("fork: %s", strerror(errno));
	if (!child) {
		execvp(command[0], command);
		die("%s: %s", command[0], strerror(errno));
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			die("wait: %s", strerror(errno));
	return status;
}

int main(int argc, char **argv)
{
	const char *kilobytes = "16384";
	unsigned int cpu;
	int opt, status;

	while ((opt = getopt(argc, argv, "+b:")) != -1) {
		if (opt != 'b')
			die("usage: fraglab-record [-b KILOBYTES] OUTPUT COMMAND...");
		kilobytes = optarg;
	}
	if (argc - optind < 2)
		die("usage: fraglab-record [-b KILOBYTES] OUTPUT COMMAND...");
	self = getpid();
	if (access("/sys/kernel/tracing/events", R_OK))
		tracefs = "/sys/kernel/debug/tracing";
	find_sources();
	set("0", "%s/tracing_on", tracefs);
	set("nop", "%s/current_tracer", tracefs);
	set("global", "%s/trace_clock", tracefs);
	if (!set(kilobytes, "%s/buffer_size_kb", tracefs))
		die("cannot make the ring buffer %s KB", kilobytes);
	set("0", "%s/trace", tracefs);
	switch_events("1");
	set("1", "%s/tracing_on", tracefs);
	status = run(argv + optind + 1);
	set("0", "%s/tracing_on", tracefs);
	switch_events("0");
	for (cpu = 0; cpu < MAX_CPUS; cpu++)
		take_cpu(cpu);
	if (!nr_raws)
		die("nothing was recorded");
	write_trace(argv[optind], argv + optind + 1);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
