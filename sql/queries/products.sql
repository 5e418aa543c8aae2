-- Products recommended for a session, newest first. What the agent proposes comes in through tools.sql; here the owner adds, accepts, rejects.

-- fragment: product_body
json_build_object('id', r.id, 'sessionId', r.session_id, 'roomId', r.room_id, 'turnId', r.turn_id, 'name', r.name, 'category', r.category,
	'vendor', r.vendor, 'url', r.url, 'price', r.price::text, 'currency', r.currency, 'quantity', trim_scale(r.quantity), 'rationale', r.rationale,
	'status', r.status, 'priceSeenAt', rfc3339(r.price_seen_at), 'createdAt', rfc3339(r.created_at), 'updatedAt', rfc3339(r.updated_at),
	'version', r.version)

-- statement: products_list
-- kind: read
-- params: owner uuid, parent uuid, after_id uuid, limit int, status text, room_id uuid
-- result: key text, id uuid, body json
{{child_newest_first: product_recommendations, product_body}};

-- The currency is the session's when none is given.
-- statement: products_create
-- kind: write
-- params: owner uuid, input jsonb, route text, idempotency_key text, request_hash bytea, parent uuid
-- result: outcome text, id uuid, etag text, body text
WITH {{prior}},
made AS (
	INSERT INTO product_recommendations (owner_id, session_id, room_id, name, category, vendor, url, price, currency, quantity, rationale, status,
		price_seen_at)
	SELECT $1, $6, ($2->>'roomId')::uuid, $2->>'name', $2->>'category', $2->>'vendor', $2->>'url', ($2->>'price')::numeric,
		coalesce($2->>'currency', (SELECT s.currency FROM renovation_sessions s WHERE s.owner_id = $1 AND s.id = $6), 'USD'),
		coalesce(($2->>'quantity')::numeric, 1), $2->>'rationale', coalesce($2->>'status', 'proposed'), ($2->>'priceSeenAt')::timestamptz
	WHERE NOT EXISTS (SELECT FROM prior)
	RETURNING *
),
{{child_created: product_body}};

-- statement: products_read
-- kind: read
-- params: owner uuid, id uuid
-- result: etag text, body json
{{child_read: product_recommendations, product_body}};

-- statement: products_update
-- kind: write
-- params: owner uuid, id uuid, input jsonb, versions int[]
-- result: is_done bool, etag text, body json
WITH present AS (SELECT id FROM product_recommendations WHERE owner_id = $1 AND id = $2),
changed AS (
	UPDATE product_recommendations SET
		room_id = CASE WHEN $3 ? 'roomId' THEN ($3->>'roomId')::uuid ELSE room_id END,
		name = CASE WHEN $3 ? 'name' THEN $3->>'name' ELSE name END,
		category = CASE WHEN $3 ? 'category' THEN $3->>'category' ELSE category END,
		vendor = CASE WHEN $3 ? 'vendor' THEN $3->>'vendor' ELSE vendor END,
		url = CASE WHEN $3 ? 'url' THEN $3->>'url' ELSE url END,
		price = CASE WHEN $3 ? 'price' THEN ($3->>'price')::numeric ELSE price END,
		currency = CASE WHEN $3 ? 'currency' THEN $3->>'currency' ELSE currency END,
		quantity = CASE WHEN $3 ? 'quantity' THEN ($3->>'quantity')::numeric ELSE quantity END,
		rationale = CASE WHEN $3 ? 'rationale' THEN $3->>'rationale' ELSE rationale END,
		status = CASE WHEN $3 ? 'status' THEN $3->>'status' ELSE status END,
		price_seen_at = CASE WHEN $3 ? 'priceSeenAt' THEN ($3->>'priceSeenAt')::timestamptz ELSE price_seen_at END,
		updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND ($4::int[] IS NULL OR version = ANY ($4))
	RETURNING *
),
{{child_updated: product_body}};

-- statement: products_remove
-- kind: write
-- params: owner uuid, id uuid, versions int[]
-- result: is_done bool
{{child_remove: product_recommendations}};
