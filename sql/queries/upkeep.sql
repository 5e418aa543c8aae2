-- What has to be done now and then for the whole database, whoever's rows they are. Run by one worker of a host at a time; several hosts do no harm.

-- Answers of creates are kept for a day; some at a time, so that no statement runs long.
-- statement: upkeep_idempotency
-- kind: write
-- result: count bigint
WITH gone AS (
	DELETE FROM idempotency_keys k USING (
		SELECT owner_id, route, key FROM idempotency_keys WHERE expires_at < now() ORDER BY expires_at LIMIT 5000 FOR UPDATE SKIP LOCKED
	) old
	WHERE k.owner_id = old.owner_id AND k.route = old.route AND k.key = old.key
	RETURNING 1
)
SELECT count(*) FROM gone;

-- Partitions of streamed events: those of the next days are made, those past their retention dropped.
-- statement: upkeep_chunks
-- kind: write
-- params: hours int
-- result: count bigint
SELECT turn_chunks_maintain(7, make_interval(hours => $1))::bigint;
