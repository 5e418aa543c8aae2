/* privileges.c: from root to the user of option `user`, after binding, for the supervisor and so for its workers; for the checker before that.
 * Called by main.c and spawn.c. Capabilities are the service manager's part. */
#include "config.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "shared/log.h"

static void staying_root(struct configuration *c)
{
	static const char remedy[] = "set user (RENOVATIOND_USER) to an account of its own, or start as one";

	if (strcmp(c->options.app_env, "production") == 0)
		configuration_add_fault(c, "user", remedy, "the service would stay root, which production refuses");
	else
		configuration_add_warning(c, "user", remedy, "the service stays root");
}

static void check_control_group(struct configuration *c)
{
	const char *name = c->options.control_group;

	if (name[0] != '\0' && getgrnam(name) == NULL)
		configuration_fault_option(c, OPTION_control_group, "create it, or name one that exists",
			"no group is called \"%s\"", name);
}

void privileges_resolve(struct configuration *c, struct identity *identity_out)
{
	const char *name = c->options.user;
	struct passwd *account;

	memset(identity_out, 0, sizeof *identity_out);
	check_control_group(c);
	if (geteuid() != 0)
		return;
	if (name[0] == '\0' || strcmp(name, "root") == 0) {
		staying_root(c);
		return;
	}
	errno = 0;
	account = getpwnam(name);
	if (account == NULL) {
		configuration_fault_option(
			c, OPTION_user, "create it, or name one that exists", "no user is called \"%s\"", name);
		return;
	}
	if (account->pw_uid == 0) {
		staying_root(c);
		return;
	}
	identity_out->is_change = true;
	identity_out->uid = account->pw_uid;
	identity_out->gid = account->pw_gid;
	(void)snprintf(identity_out->name, sizeof identity_out->name, "%s", name);
}

enum error privileges_drop(const struct identity *identity)
{
	if (!identity->is_change)
		return ERROR_NONE;
	if (initgroups(identity->name, identity->gid) != 0 ||
		setresgid(identity->gid, identity->gid, identity->gid) != 0 ||
		setresuid(identity->uid, identity->uid, identity->uid) != 0)
		return ERROR_SYSTEM;
	/* The way back must be closed. */
	if (setuid(0) == 0 || geteuid() == 0)
		return ERROR_SYSTEM;
	/* The kernel cleared it with the change; without it there is no core, and /proc/self belongs to root. */
	(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return ERROR_NONE;
}
