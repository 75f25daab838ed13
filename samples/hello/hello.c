// SPDX-License-Identifier: GPL-2.0-only
/* The smallest client: one pool, one block. */
#include <linux/module.h>
#include <quarry/pool.h>

struct message {
	char text[32];
};

static struct quarry_pool *messages;

static int __init hello_init(void)
{
	struct message *m;

	messages = quarry_pool_create("hello", sizeof(*m), 1000, NULL);
	if (IS_ERR(messages))
		return PTR_ERR(messages);

	m = quarry_pool_alloc(messages);	/* any context; NULL when all are live */
	if (m) {
		strscpy(m->text, "a block of my own", sizeof(m->text));
		pr_info("hello: block %ld of %zu: %s\n",
			quarry_pool_index(messages, m),
			quarry_pool_capacity(messages), m->text);
	}
	quarry_pool_free(messages, m);
	return 0;
}

static void __exit hello_exit(void)
{
	quarry_pool_destroy(messages);
}

module_init(hello_init);
module_exit(hello_exit);
MODULE_DESCRIPTION("Smallest client of quarry");
MODULE_LICENSE("GPL");
