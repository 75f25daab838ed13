// SPDX-License-Identifier: GPL-2.0-only
/*
 * A packet log: who talks to whom over IPv4, and how much.
 *
 * A netfilter hook keeps a record of every packet that this machine sends or
 * receives (a packet on the loopback device is both, and has two). The hook runs
 * in softirq, or in the sending task; it may not sleep and may not wait. It takes
 * a block of a quarry pool, fills it and pushes it on a lock-free list. A thread
 * takes the list, a batch at a time, adds the records up by flow and gives the
 * blocks back. Headers within headers (IPv4 in IPv4, TCP's options) are taken
 * apart on a quarry stack of the CPU, which holds the copies of those it is
 * inside of until the packet is done.
 *
 * Both pools are bounded. With no record left a packet passes without one and is
 * counted (failures); with no flow left a record is counted (flows_dropped).
 * Memory use is known when the module has loaded, whatever the traffic.
 *
 *	/sys/kernel/debug/pktlog/flows	one line a flow
 *	/sys/kernel/debug/pktlog/batch	the last batch, a line a packet
 *	/sys/kernel/debug/pktlog/stats	packets = recorded + failures
 *
 * The hook also keeps the first bytes of each payload, in a per-CPU arena; the thread
 * counts HTTP requests by them. There are two such arenas: when one is half full the
 * hook goes on in the other, and the first is reset when nobody can be using it.
 *
 * Besides, each flow keeps a copy of its latest payload, in a quarry heap: payloads
 * differ in length, are copied in the hook and freed by the thread, each when its flow
 * has a newer one. With no room left a packet is recorded without, and counted.
 *
 * Who may touch what: the hook only @pending, the per-CPU counters and the active
 * arena; all that belongs to flows is under @lock.
 */
#include <linux/debugfs.h>
#include <linux/hashtable.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/jhash.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <linux/wait.h>
#include <net/ip.h>
#include <net/net_namespace.h>
#include <net/tcp.h>
#include <quarry/arena.h>
#include <quarry/heap.h>
#include <quarry/percpu_arena.h>
#include <quarry/pool.h>
#include <quarry/stack.h>

static unsigned int records = 4096;
module_param(records, uint, 0444);
MODULE_PARM_DESC(records, "packets that may wait for the thread");

static unsigned int flows = 1024;
module_param(flows, uint, 0444);
MODULE_PARM_DESC(flows, "flows that are told apart");

static unsigned int prefix = 32;
module_param(prefix, uint, 0444);
MODULE_PARM_DESC(prefix, "bytes of each packet's payload that the thread gets to see");

static unsigned int payload = 512;
module_param(payload, uint, 0444);
MODULE_PARM_DESC(payload, "bytes of each flow's latest payload that are kept");

static unsigned int text = SZ_64K;
module_param(text, uint, 0444);
MODULE_PARM_DESC(text, "bytes that the last batch takes as text, at most");

/* No holes: it is hashed and compared as bytes. */
struct flow_key {
	__be32 source, destination;
	__be16 source_port, destination_port;
	u32 protocol;
};

struct record {
	struct llist_node node;
	struct flow_key key;
	u32 bytes;
	u32 payload_length;
	u64 when;
	u32 length;
	u8 *prefix;
	u8 *payload;
};

struct flow {
	struct hlist_node node;
	struct flow_key key;
	u64 packets, bytes, first, last;
	u8 *payload;		/* the latest */
};

/* A packet of the last batch, as text; it lies in the batch's arena. */
struct line {
	struct line *next;
	const char *text;
};

#define BATCH	64
#define PREFIX_BYTES	(256 << 10)	/* in each of two arenas */
#define PAYLOAD_BYTES	SZ_1M
/* CPUs keep up to a quarter of it for the next packets, without the lock. */
static const struct quarry_heap_args fast = { .front = PAYLOAD_BYTES / 4 };

static struct quarry_pool *record_pool, *flow_pool;
static struct quarry_heap *payloads;
static struct quarry_percpu_arena *prefixes[2];
static unsigned int active;	/* where the hook takes prefixes */
static DEFINE_PER_CPU(struct quarry_stack *, headers);
static LLIST_HEAD(pending);
static DECLARE_WAIT_QUEUE_HEAD(work);
static struct task_struct *thread;
static struct dentry *dir;

static DEFINE_PER_CPU(u64, packets);
static DEFINE_PER_CPU(u64, recorded);
static DEFINE_PER_CPU(u64, failures);
static DEFINE_PER_CPU(u64, parsed);
static DEFINE_PER_CPU(u64, tunnelled);
static DEFINE_PER_CPU(u64, tcp_options);
static DEFINE_PER_CPU(u64, payloads_failed);

static DEFINE_MUTEX(lock);
static DEFINE_HASHTABLE(table, 10);
static u64 nr_flows, flows_dropped, bytes, batches, lines_dropped;
static struct quarry_arena *batch;
static struct line *lines;	/* latest first */
static u64 nr_prefixes, http_requests, recycled;
static u64 payloads_copied, payloads_kept;

/* The hook: softirq or task */

#define MAX_TUNNELS	4
/* Room for all headers of a packet and a mark: 4 times IPv4, TCP, its options. */
#define HEADERS_SIZE	512

/* A copy of a header, at the top of the stack; NULL when the packet is shorter. */
static const void *header_copy(struct quarry_stack *stack,
			       const struct sk_buff *skb, int offset, size_t size)
{
	void *copy = quarry_stack_push(stack, size, sizeof(u32));

	return copy && !skb_copy_bits(skb, offset, copy, size) ? copy : NULL;
}

/* Options in a TCP header, as far as they make sense; padding is none. */
static unsigned int options_count(const u8 *option, size_t left)
{
	unsigned int nr = 0;
	size_t size;

	while (left && *option != TCPOPT_EOL) {
		size = 1;
		if (*option != TCPOPT_NOP) {
			if (left < 2 || option[1] < 2 || option[1] > left)
				break;
			size = option[1];
			nr++;
		}
		option += size;
		left -= size;
	}
	return nr;
}

static void tcp_parse(struct quarry_stack *stack, const struct sk_buff *skb,
		      int offset)
{
	const struct tcphdr *tcp = header_copy(stack, skb, offset, sizeof(*tcp));
	const u8 *options;
	size_t size;

	if (!tcp || tcp->doff * 4 <= sizeof(*tcp))
		return;
	size = tcp->doff * 4 - sizeof(*tcp);
	options = header_copy(stack, skb, offset + sizeof(*tcp), size);
	if (options)
		this_cpu_add(tcp_options, options_count(options, size));
}

static void ip_parse(struct quarry_stack *stack, const struct sk_buff *skb)
{
	int offset = skb_network_offset(skb), depth;
	const struct iphdr *ip;

	for (depth = 0; depth < MAX_TUNNELS; depth++) {
		ip = header_copy(stack, skb, offset, sizeof(*ip));
		if (!ip || ip->ihl < 5 || ip->frag_off & htons(IP_OFFSET))
			return;
		offset += ip->ihl * 4;
		if (ip->protocol == IPPROTO_TCP)
			tcp_parse(stack, skb, offset);
		if (ip->protocol != IPPROTO_IPIP)
			return;
		this_cpu_inc(tunnelled);
	}
}

/*
 * A stack has one owner: the CPU that is here, with softirqs off, since a packet
 * that a task sends may be interrupted by one that comes.
 */
static void headers_parse(const struct sk_buff *skb)
{
	struct quarry_stack_mark mark;
	struct quarry_stack *stack;

	local_bh_disable();
	stack = this_cpu_read(headers);
	if (quarry_stack_mark(stack, &mark)) {
		ip_parse(stack, skb);
		quarry_stack_release(stack, &mark);	/* however far it got */
		this_cpu_inc(parsed);
	}
	local_bh_enable();
}

static void record_fill(struct record *r, const struct sk_buff *skb)
{
	const struct iphdr *ip = ip_hdr(skb);
	__be16 buffer[2];
	const __be16 *ports = NULL;

	if ((ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) &&
	    !(ip->frag_off & htons(IP_OFFSET)))
		ports = skb_header_pointer(skb, skb_network_offset(skb) + ip_hdrlen(skb),
					   sizeof(buffer), buffer);
	r->key = (struct flow_key) {
		.source			= ip->saddr,
		.destination		= ip->daddr,
		.source_port		= ports ? ports[0] : 0,
		.destination_port	= ports ? ports[1] : 0,
		.protocol		= ip->protocol,
	};
	r->bytes = skb->len;
	r->when = ktime_get_ns();
}

/* Where the payload begins: behind the headers of IP, TCP and UDP. */
static unsigned int payload_offset(const struct sk_buff *skb)
{
	unsigned int offset = skb_network_offset(skb) + ip_hdrlen(skb);
	const struct tcphdr *tcp;
	struct tcphdr buffer;

	if (ip_hdr(skb)->protocol == IPPROTO_UDP)
		return offset + sizeof(struct udphdr);
	if (ip_hdr(skb)->protocol != IPPROTO_TCP)
		return offset;
	tcp = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	return tcp ? offset + tcp->doff * 4 : skb->len;
}

/*
 * The payload's first bytes. They differ in length and all go at once, so they are
 * in a per-CPU arena; without one a record is as good. Hooks run under RCU, which is
 * what recycle() waits for.
 */
static void capture(struct record *r, const struct sk_buff *skb)
{
	unsigned int offset = payload_offset(skb);

	r->length = min(prefix, skb->len - min(offset, skb->len));
	r->prefix = NULL;
	if (r->length)
		r->prefix = quarry_percpu_arena_alloc(prefixes[READ_ONCE(active)],
						      r->length, 1);
	if (!r->prefix || skb_copy_bits(skb, offset, r->prefix, r->length))
		r->length = 0;
}

/* A copy of the payload, as much as is kept of it, in a block of just that size. */
static void keep_payload(struct record *r, const struct sk_buff *skb)
{
	unsigned int offset = payload_offset(skb);

	r->payload_length = min(payload, skb->len - min(offset, skb->len));
	r->payload = NULL;
	if (!r->payload_length)
		return;
	r->payload = quarry_heap_alloc(payloads, r->payload_length);
	if (!r->payload) {
		this_cpu_inc(payloads_failed);
	} else if (skb_copy_bits(skb, offset, r->payload, r->payload_length)) {
		quarry_heap_free(payloads, r->payload);
		r->payload = NULL;
	}
}

static unsigned int pktlog_hook(void *priv, struct sk_buff *skb,
				const struct nf_hook_state *state)
{
	struct record *r;

	this_cpu_inc(packets);
	/*
	 * Every packet comes through here, so the hit path is inline; elsewhere
	 * quarry_pool_alloc() is as good, and smaller. The pool is never NULL or
	 * an ERR_PTR while the hook is registered, which the inline form wants.
	 */
	r = quarry_pool_alloc_inline(record_pool);
	if (!r) {
		this_cpu_inc(failures);
		return NF_ACCEPT;
	}
	this_cpu_inc(recorded);
	record_fill(r, skb);
	capture(r, skb);
	keep_payload(r, skb);
	headers_parse(skb);
	/* Only who finds the list empty wakes: the thread takes all at once. */
	if (llist_add(&r->node, &pending))
		wake_up(&work);
	return NF_ACCEPT;
}

static const struct nf_hook_ops hooks[] = {
	{
		.hook		= pktlog_hook,
		.pf		= NFPROTO_IPV4,
		.hooknum	= NF_INET_LOCAL_IN,
		.priority	= NF_IP_PRI_LAST,
	}, {
		.hook		= pktlog_hook,
		.pf		= NFPROTO_IPV4,
		.hooknum	= NF_INET_LOCAL_OUT,
		.priority	= NF_IP_PRI_LAST,
	},
};

/* The thread */

static struct flow *flow_find(const struct flow_key *key)
{
	u32 hash = jhash(key, sizeof(*key), 0);
	struct flow *flow;

	hash_for_each_possible(table, flow, node, hash)
		if (!memcmp(&flow->key, key, sizeof(*key)))
			return flow;
	flow = quarry_pool_zalloc_as(flow_pool, struct flow);
	if (!flow)
		return NULL;
	flow->key = *key;
	hash_add(table, &flow->node, hash);
	nr_flows++;
	return flow;
}

static bool account(const struct record *r)
{
	struct flow *flow = flow_find(&r->key);

	bytes += r->bytes;
	nr_prefixes += !!r->length;
	http_requests += r->length >= 4 && !memcmp(r->prefix, "GET ", 4);
	payloads_copied += !!r->payload;
	if (!flow) {
		flows_dropped++;
		quarry_heap_free(payloads, r->payload);
		return false;
	}
	if (r->payload) {
		payloads_kept += !flow->payload;
		quarry_heap_free(payloads, flow->payload);	/* NULL is ignored */
		flow->payload = r->payload;
	}
	if (!flow->packets++)
		flow->first = r->when;
	flow->last = r->when;
	flow->bytes += r->bytes;
	return true;
}

static bool line_add(const struct record *r)
{
	struct line *line = quarry_arena_new(batch, struct line);

	if (line)
		line->text = quarry_arena_printf(batch, "%pI4:%u > %pI4:%u, %u bytes",
						 &r->key.source,
						 ntohs(r->key.source_port),
						 &r->key.destination,
						 ntohs(r->key.destination_port),
						 r->bytes);
	if (!line || !line->text)
		return false;
	line->next = lines;
	lines = line;
	return true;
}

/* A packet that is dropped takes all along that was made of it. */
static void account_line(const struct record *r)
{
	struct quarry_arena_mark mark = quarry_arena_mark(batch);
	struct line *before = lines;
	bool noted = quarry_arena_marked(mark) && line_add(r);

	if (account(r) && noted)
		return;
	lines_dropped += !noted;
	lines = before;
	if (quarry_arena_marked(mark))
		quarry_arena_rewind(batch, mark);
}

/* Blocks go back in bulk, which costs less than one by one. */
static void drain(void)
{
	struct llist_node *first = llist_del_all(&pending);
	struct record *r, *next;
	void *done[BATCH];
	size_t nr = 0;

	if (!first)
		return;
	mutex_lock(&lock);
	batches++;
	lines = NULL;
	quarry_arena_reset(batch);	/* the last batch, as a whole */
	first = llist_reverse_order(first);	/* oldest first */
	llist_for_each_entry_safe(r, next, first, node) {
		account_line(r);
		done[nr++] = r;
		if (nr == BATCH) {
			quarry_pool_free_bulk(record_pool, nr, done);
			nr = 0;
			cond_resched();
		}
	}
	quarry_pool_free_bulk(record_pool, nr, done);
	mutex_unlock(&lock);
}

/*
 * An arena that is half full is given up for the other: no hook takes from it after
 * the grace period, no record points into it after the drain, and all of it is free.
 */
static void recycle(void)
{
	struct quarry_percpu_arena *old = prefixes[active];

	if (quarry_percpu_arena_used(old) < quarry_percpu_arena_capacity(old) / 2)
		return;
	WRITE_ONCE(active, !active);
	synchronize_rcu();
	drain();
	quarry_percpu_arena_reset(old);
	recycled++;
}

static int pktlog_thread(void *unused)
{
	while (!kthread_should_stop()) {
		wait_event_interruptible(work, !llist_empty(&pending) ||
					 kthread_should_stop());
		drain();
		recycle();
	}
	return 0;
}

/* What a user can see */

static const char *protocol_name(u32 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	}
	return "other";
}

static int flows_show(struct seq_file *seq, void *unused)
{
	char from[24], to[24];
	struct flow *flow;
	int i;

	seq_printf(seq, "%-7s %-21s %-21s %9s %12s %12s %12s\n", "# proto",
		   "source", "destination", "packets", "bytes", "first_ms",
		   "last_ms");
	mutex_lock(&lock);
	hash_for_each(table, i, flow, node) {
		scnprintf(from, sizeof(from), "%pI4:%u", &flow->key.source,
			  ntohs(flow->key.source_port));
		scnprintf(to, sizeof(to), "%pI4:%u", &flow->key.destination,
			  ntohs(flow->key.destination_port));
		seq_printf(seq, "%-7s %-21s %-21s %9llu %12llu %12llu %12llu\n",
			   protocol_name(flow->key.protocol), from, to,
			   flow->packets, flow->bytes,
			   flow->first / NSEC_PER_MSEC,
			   flow->last / NSEC_PER_MSEC);
	}
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(flows);

static int batch_show(struct seq_file *seq, void *unused)
{
	const struct line *line;

	mutex_lock(&lock);
	for (line = lines; line; line = line->next)
		seq_printf(seq, "%s\n", line->text);
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(batch);

static u64 sum(const u64 __percpu *counter)
{
	unsigned int cpu;
	u64 total = 0;

	for_each_possible_cpu(cpu)
		total += READ_ONCE(*per_cpu_ptr(counter, cpu));
	return total;
}

static int stats_show(struct seq_file *seq, void *unused)
{
	seq_printf(seq, "packets: %llu\n", sum(&packets));
	seq_printf(seq, "recorded: %llu\n", sum(&recorded));
	seq_printf(seq, "failures: %llu\n", sum(&failures));
	seq_printf(seq, "parsed: %llu\n", sum(&parsed));
	seq_printf(seq, "tunnelled: %llu\n", sum(&tunnelled));
	seq_printf(seq, "tcp_options: %llu\n", sum(&tcp_options));
	seq_printf(seq, "payloads_failed: %llu\n", sum(&payloads_failed));
	mutex_lock(&lock);
	seq_printf(seq, "bytes: %llu\n", bytes);
	seq_printf(seq, "batches: %llu\n", batches);
	seq_printf(seq, "flows: %llu\n", nr_flows);
	seq_printf(seq, "flows_dropped: %llu\n", flows_dropped);
	seq_printf(seq, "lines_dropped: %llu\n", lines_dropped);
	seq_printf(seq, "prefixes: %llu\n", nr_prefixes);
	seq_printf(seq, "http_requests: %llu\n", http_requests);
	seq_printf(seq, "recycled: %llu\n", READ_ONCE(recycled));
	seq_printf(seq, "payloads_copied: %llu\n", payloads_copied);
	seq_printf(seq, "payloads_kept: %llu\n", payloads_kept);
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stats);

/*
 * Set up from what is needed to what needs it; torn down the other way round:
 * no new records, no hook still running, no thread, no block live, no pool.
 */

/* The hooks are unregistered. */
static void stop(void)
{
	struct hlist_node *next;
	struct flow *flow;
	int i;

	synchronize_net();	/* one may still be running */
	kthread_stop(thread);
	drain();		/* what the thread did not get to */
	hash_for_each_safe(table, i, next, flow, node) {
		quarry_heap_free(payloads, flow->payload);
		quarry_pool_free(flow_pool, flow);
	}
}

static void destroy_prefixes(void)
{
	quarry_percpu_arena_destroy(prefixes[0]);
	quarry_percpu_arena_destroy(prefixes[1]);
}

static int __init make_prefixes(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		prefixes[i] = quarry_percpu_arena_create("pktlog-prefixes",
							 PREFIX_BYTES, NULL);
		if (IS_ERR(prefixes[i])) {
			destroy_prefixes();
			return PTR_ERR(prefixes[i]);
		}
	}
	return 0;
}

static void headers_destroy(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		quarry_stack_destroy(per_cpu(headers, cpu));
}

/* A stack a CPU: "pktlog", "pktlog-2" and so on. */
static int headers_create(void)
{
	struct quarry_stack *stack;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		stack = quarry_stack_create("pktlog", HEADERS_SIZE, NULL);
		per_cpu(headers, cpu) = stack;
		if (!IS_ERR(stack))
			continue;
		headers_destroy();	/* ignores what is none */
		return PTR_ERR(stack);
	}
	return 0;
}

static int __init pktlog_init(void)
{
	int err;

	record_pool = quarry_pool_create("pktlog", sizeof(struct record),
					 records, NULL);
	if (IS_ERR(record_pool))
		return PTR_ERR(record_pool);
	flow_pool = quarry_pool_create("pktlog-flows", sizeof(struct flow),
				       flows, NULL);
	if (IS_ERR(flow_pool)) {
		err = PTR_ERR(flow_pool);
		goto err_flow_pool;
	}
	batch = quarry_arena_create("pktlog-batch", text, NULL);
	if (IS_ERR(batch)) {
		err = PTR_ERR(batch);
		goto err_batch;
	}
	err = make_prefixes();
	if (err)
		goto err_prefixes;
	payloads = quarry_heap_create("pktlog", PAYLOAD_BYTES, &fast);
	if (IS_ERR(payloads)) {
		err = PTR_ERR(payloads);
		goto err_payloads;
	}
	err = headers_create();
	if (err)
		goto err_headers;
	thread = kthread_run(pktlog_thread, NULL, "pktlog");
	if (IS_ERR(thread)) {
		err = PTR_ERR(thread);
		goto err_thread;
	}
	/* The first network namespace; for each of them, register_pernet_subsys(). */
	err = nf_register_net_hooks(&init_net, hooks, ARRAY_SIZE(hooks));
	if (err)
		goto err_hooks;
	dir = debugfs_create_dir("pktlog", NULL);
	debugfs_create_file("flows", 0400, dir, NULL, &flows_fops);
	debugfs_create_file("batch", 0400, dir, NULL, &batch_fops);
	debugfs_create_file("stats", 0400, dir, NULL, &stats_fops);
	return 0;

err_hooks:
	stop();
err_thread:
	headers_destroy();
err_headers:
	quarry_heap_destroy(payloads);
err_payloads:
	destroy_prefixes();
err_prefixes:
	quarry_arena_destroy(batch);
err_batch:
	quarry_pool_destroy(flow_pool);
err_flow_pool:
	quarry_pool_destroy(record_pool);
	return err;
}

static void __exit pktlog_exit(void)
{
	debugfs_remove(dir);	/* waits for readers */
	nf_unregister_net_hooks(&init_net, hooks, ARRAY_SIZE(hooks));
	stop();
	headers_destroy();
	quarry_heap_destroy(payloads);
	destroy_prefixes();
	quarry_arena_destroy(batch);
	quarry_pool_destroy(flow_pool);
	quarry_pool_destroy(record_pool);
}

module_init(pktlog_init);
module_exit(pktlog_exit);
MODULE_DESCRIPTION("Log of IPv4 flows, kept in quarry pools");
MODULE_LICENSE("GPL");
