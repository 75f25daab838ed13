// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registry: every live object, by name and owner.
 *
 * Locks: @lock orders all writes to the list, to @owner and to @state, and is
 * held by whoever walks the list and may sleep (the summary). A kind's row operation
 * takes that kind's locks under it. CPU hotplug's lock is outside: a client's callback
 * may make and destroy objects while a CPU comes or goes. So a kind's orphan operation,
 * by which a pool takes leave of hotplug, is called without it, as debugfs is. An owner
 * is looked up by address in any context, so the list is RCU's: an object's memory is
 * not reused before a grace period has passed since quarry__unregister().
 *
 * Handles are type-stable: a kind keeps the structs of its destroyed objects in a
 * list of its own, under handles_lock, which is taken alone, and uses them again,
 * so that an operation on a destroyed object finds a closed one.
 *
 * A module that unloads with objects alive is seen by the notifier, after its
 * exit function and before its text goes. Its objects stay, without callbacks.
 */
#include <linux/ctype.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rculist.h>
#include <linux/string.h>
#include "internal.h"

static LIST_HEAD(objects);
static DEFINE_MUTEX(lock);
static DEFINE_MUTEX(handles_lock);

/* A letter or digit, then [A-Za-z0-9_.-], fewer than QUARRY_NAME_LEN in all. */
int quarry__name_check(const char *name)
{
	size_t i;

	if (!name || !isalnum(name[0]) || !isascii(name[0]))
		return -EINVAL;
	for (i = 1; name[i]; i++) {
		if (i >= QUARRY_NAME_LEN - 1 || !isascii(name[i]))
			return -EINVAL;
		if (!isalnum(name[i]) && !strchr("_.-", name[i]))
			return -EINVAL;
	}
	return 0;
}

/*
 * Vmalloc may sleep, and on some kernels is a BUG where it may not. On PREEMPT_RT a
 * spinlock is an RCU reader, and preemptible.
 */
bool quarry__may_sleep(void)
{
	if (in_interrupt() || irqs_disabled() || rcu_preempt_depth())
		return false;
	return !IS_ENABLED(CONFIG_PREEMPT_COUNT) || preemptible();
}

static bool name_taken(const struct quarry_kind *kind, const char *name)
{
	struct quarry_object *object;

	list_for_each_entry(object, &objects, node)
		if (object->kind == kind && !strcmp(object->name, name))
			return true;
	return false;
}

/* The name, or the name cut to make room for the first suffix that is free. */
static void name_choose(struct quarry_object *object, const char *name)
{
	unsigned int nr = 1;
	char suffix[12];

	lockdep_assert_held(&lock);
	strscpy(object->name, name, QUARRY_NAME_LEN);
	while (name_taken(object->kind, object->name)) {
		size_t len = scnprintf(suffix, sizeof(suffix), "-%u", ++nr);

		len = min(strlen(name), QUARRY_NAME_LEN - 1 - len);
		scnprintf(object->name, QUARRY_NAME_LEN, "%.*s%s", (int)len,
			  name, suffix);
	}
}

void quarry__register(struct quarry_object *object, const char *name,
		      const struct quarry_kind *kind, struct module *owner)
{
	object->kind = kind;
	object->owner = owner;
	object->state = QUARRY_OK;
	strscpy(object->owner_name, owner ? module_name(owner) : "kernel",
		sizeof(object->owner_name));
	mutex_lock(&lock);
	name_choose(object, name);
	list_add_tail_rcu(&object->node, &objects);
	mutex_unlock(&lock);
	quarry__debugfs_add(object);
}

void quarry__unregister(struct quarry_object *object)
{
	quarry__debugfs_remove(object);
	mutex_lock(&lock);
	list_del_rcu(&object->node);
	mutex_unlock(&lock);
	synchronize_rcu();
}

void quarry__mark(struct quarry_object *object, enum quarry_state state)
{
	mutex_lock(&lock);
	WRITE_ONCE(object->state, state);
	mutex_unlock(&lock);
}

const char *quarry__state_name(const struct quarry_object *object)
{
	static const char * const names[] = {
		[QUARRY_OK]	= "ok",
		[QUARRY_LEAKED]	= "leaked",
		[QUARRY_ORPHAN]	= "orphan",
		[QUARRY_DEAD]	= "dead",
	};

	return names[READ_ONCE(object->state)];
}

/*
 * Who has a block at @addr, other than @but? The block's number, or -1. The
 * strings are good as long as the caller holds off RCU.
 */
long quarry__find(unsigned long addr, const struct quarry_object *but,
		  const char **kind, const char **name)
{
	struct quarry_object *object;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "the owner may go away");
	list_for_each_entry_rcu(object, &objects, node) {
		long index;

		if (object == but)
			continue;
		index = object->kind->find(object, addr);
		if (index < 0)
			continue;
		*kind = object->kind->name;
		*name = object->name;
		return index;
	}
	return -1;
}

/* Calls @fn, which may sleep, with each object; none comes or goes meanwhile. */
void quarry__for_each(void (*fn)(struct quarry_object *object, void *arg),
		      void *arg)
{
	struct quarry_object *object;

	mutex_lock(&lock);
	list_for_each_entry(object, &objects, node)
		fn(object, arg);
	mutex_unlock(&lock);
}

/* A handle that was retired, or NULL. */
struct quarry_object *quarry__handle_reuse(struct list_head *retired)
{
	struct quarry_object *object;

	mutex_lock(&handles_lock);
	object = list_first_entry_or_null(retired, struct quarry_object, node);
	if (object)
		list_del(&object->node);
	mutex_unlock(&handles_lock);
	return object;
}

/* The handle stays readable, and closed. */
void quarry__handle_retire(struct quarry_object *object,
			   struct list_head *retired)
{
	mutex_lock(&handles_lock);
	list_add_tail(&object->node, retired);
	mutex_unlock(&handles_lock);
}

/*
 * An object of a module that goes, said to be left behind and not its any more; or
 * NULL. Nobody destroys it now: whoever might have is gone.
 */
static struct quarry_object *next_orphan(const struct module *owner)
{
	struct quarry_object *object, *found = NULL;
	struct quarry_row row;

	mutex_lock(&lock);
	list_for_each_entry(object, &objects, node) {
		if (object->owner != owner)
			continue;
		object->kind->row(object, &row);
		quarry__notice("module %s unloaded with %s \"%s\" alive: %llu live %s, kept",
			       object->owner_name, object->kind->name, object->name,
			       row.live, object->kind->unit ?: "bytes");
		object->owner = NULL;
		if (object->state == QUARRY_OK)		/* leaked stays leaked */
			WRITE_ONCE(object->state, QUARRY_ORPHAN);
		found = object;
		break;
	}
	mutex_unlock(&lock);
	return found;
}

static int module_event(struct notifier_block *nb, unsigned long event,
			void *data)
{
	struct quarry_object *object;

	if (event != MODULE_STATE_GOING)
		return NOTIFY_DONE;
	while ((object = next_orphan(data)))
		object->kind->orphan(object);
	return NOTIFY_OK;
}

static struct notifier_block module_nb = { .notifier_call = module_event };

int quarry__registry_init(void)
{
	return register_module_notifier(&module_nb);
}

/* What is left belongs to modules that are gone, or was leaked by a destroy. */
void quarry__registry_exit(void)
{
	struct quarry_object *object, *next;

	unregister_module_notifier(&module_nb);
	list_for_each_entry_safe(object, next, &objects, node) {
		pr_info("quarry: %s \"%s\" of module %s (%s) is freed with quarry\n",
			object->kind->name, object->name, object->owner_name,
			quarry__state_name(object));
		quarry__unregister(object);
		object->kind->release(object);
	}
}
