-- Contractors recommended for a session, newest first.

-- fragment: contractor_body
json_build_object('id', r.id, 'sessionId', r.session_id, 'roomId', r.room_id, 'turnId', r.turn_id, 'name', r.name, 'trade', r.trade,
	'contact', r.contact, 'rating', trim_scale(r.rating), 'quoteMin', r.quote_min::text, 'quoteMax', r.quote_max::text, 'currency', r.currency,
	'url', r.url, 'rationale', r.rationale, 'status', r.status, 'createdAt', rfc3339(r.created_at), 'updatedAt', rfc3339(r.updated_at),
	'version', r.version)

-- statement: contractors_list
-- kind: read
-- params: owner uuid, parent uuid, after_id uuid, limit int, status text, room_id uuid
-- result: key text, id uuid, body json
{{child_newest_first: contractor_recommendations, contractor_body}};

-- statement: contractors_create
-- kind: write
-- params: owner uuid, input jsonb, route text, idempotency_key text, request_hash bytea, parent uuid
-- result: outcome text, id uuid, etag text, body text
WITH {{prior}},
made AS (
	INSERT INTO contractor_recommendations (owner_id, session_id, room_id, name, trade, contact, rating, quote_min, quote_max, currency, url,
		rationale, status)
	SELECT $1, $6, ($2->>'roomId')::uuid, $2->>'name', $2->>'trade', nullif($2->'contact', 'null'), ($2->>'rating')::numeric,
		($2->>'quoteMin')::numeric, ($2->>'quoteMax')::numeric,
		coalesce($2->>'currency', (SELECT s.currency FROM renovation_sessions s WHERE s.owner_id = $1 AND s.id = $6), 'USD'),
		$2->>'url', $2->>'rationale', coalesce($2->>'status', 'proposed')
	WHERE NOT EXISTS (SELECT FROM prior)
	RETURNING *
),
{{child_created: contractor_body}};

-- statement: contractors_read
-- kind: read
-- params: owner uuid, id uuid
-- result: etag text, body json
{{child_read: contractor_recommendations, contractor_body}};

-- statement: contractors_update
-- kind: write
-- params: owner uuid, id uuid, input jsonb, versions int[]
-- result: is_done bool, etag text, body json
WITH present AS (SELECT id FROM contractor_recommendations WHERE owner_id = $1 AND id = $2),
changed AS (
	UPDATE contractor_recommendations SET
		room_id = CASE WHEN $3 ? 'roomId' THEN ($3->>'roomId')::uuid ELSE room_id END,
		name = CASE WHEN $3 ? 'name' THEN $3->>'name' ELSE name END,
		trade = CASE WHEN $3 ? 'trade' THEN $3->>'trade' ELSE trade END,
		contact = CASE WHEN $3 ? 'contact' THEN nullif($3->'contact', 'null') ELSE contact END,
		rating = CASE WHEN $3 ? 'rating' THEN ($3->>'rating')::numeric ELSE rating END,
		quote_min = CASE WHEN $3 ? 'quoteMin' THEN ($3->>'quoteMin')::numeric ELSE quote_min END,
		quote_max = CASE WHEN $3 ? 'quoteMax' THEN ($3->>'quoteMax')::numeric ELSE quote_max END,
		currency = CASE WHEN $3 ? 'currency' THEN $3->>'currency' ELSE currency END,
		url = CASE WHEN $3 ? 'url' THEN $3->>'url' ELSE url END,
		rationale = CASE WHEN $3 ? 'rationale' THEN $3->>'rationale' ELSE rationale END,
		status = CASE WHEN $3 ? 'status' THEN $3->>'status' ELSE status END,
		updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND ($4::int[] IS NULL OR version = ANY ($4))
	RETURNING *
),
{{child_updated: contractor_body}};

-- statement: contractors_remove
-- kind: write
-- params: owner uuid, id uuid, versions int[]
-- result: is_done bool
{{child_remove: contractor_recommendations}};
