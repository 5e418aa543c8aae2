/* status.h: the state of the pool as one JSON document, read from the scoreboard alone. The supervisor answers `renovationctl status` with it, also
 * with no worker alive; a worker serves the same bytes as /admin/status.json. Changes nothing, trusts nothing that a worker wrote. */
#ifndef RENOVATIOND_SHARED_STATUS_H
#define RENOVATIOND_SHARED_STATUS_H

#include "shared/buffer.h"
#include "shared/scoreboard.h"

/* Appends one object without a line end. `now_us` is monotonic; times of day in it come from clock_wall_us. Members:
 *   version url admin_url pid uptime_s started_at now state generation wanted ready is_drained supervisor_age_ms gemini lost
 *   workers[]  {slot pid generation epoch state age_ms ready_ms heartbeat_age_ms loop_lag_us connections idle streams turns requests errors
 *               db{open idle waiting} last_request{text age_ms}|null drain_left_ms|null memory_bytes cpu_us fds log_dropped restarts
 *               is_sick}; restarts are the slot's
 *   totals{}   every counter of the scoreboard and connections idle streams turns; exact, monotone over deaths of workers
 *   supervisor{memory_bytes cpu_us fds log_dropped}     accept_queue{length limit}     respawning{slots longest_ms}: slots that wait for their next life
 *   restarts{} by cause     reloads{live replaced rejected failed last{result at at_us ms text}|null}     upgrades{done failed last{done at at_us text}|null}
 *   deaths[]   newest first, at most DEATHS_KEPT     breakers[] {model state reason failures left_ms}     samples[] oldest first, the last 15 minutes
 *   stop       null, or {phase elapsed_ms is_fast workers_left}
 * A value that no healthy worker writes is shown as 0 (a state as "unknown") and sets is_sick of that worker. */
void status_write_json(const struct scoreboard *board, int64_t now_us, struct buffer *out);

/* Words of the document; never NULL, "unknown" for a number that is none of the enum. */
const char *status_pool_state(uint32_t state);
const char *status_worker_state(uint32_t state);
const char *status_death_cause(uint32_t cause);
const char *status_reload_result(uint32_t result);

#endif
