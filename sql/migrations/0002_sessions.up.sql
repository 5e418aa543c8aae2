-- The renovation itself: sessions, their history, rooms and what is recommended for them.
-- Children repeat owner_id and point at (owner_id, id) of their parent, so a link between two owners' rows cannot be stored. These keys are
-- deferrable and cascade, so that moving an owner's rows to an account is one transaction.

CREATE TABLE renovationd.renovation_sessions (
	id               uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id         uuid NOT NULL REFERENCES renovationd.owners (id) ON DELETE CASCADE,
	title            text NOT NULL CHECK (char_length(title) BETWEEN 1 AND 200),
	phase            text NOT NULL DEFAULT 'INTAKE'
		CHECK (phase IN ('INTAKE', 'CHECKLIST', 'PLAN', 'RENDER', 'PAYMENT', 'COMPLETE', 'ITERATE')),
	phase_changed_at timestamptz NOT NULL DEFAULT now(),
	total_budget     numeric(14,2) CHECK (total_budget >= 0),
	currency         char(3) NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
	address          jsonb,
	summary          text,
	plan             jsonb,
	archived_at      timestamptz,
	created_at       timestamptz NOT NULL DEFAULT now(),
	updated_at       timestamptz NOT NULL DEFAULT now(),
	version          int NOT NULL DEFAULT 1,
	CONSTRAINT renovation_sessions_owned UNIQUE (owner_id, id)
);
CREATE INDEX renovation_sessions_recent ON renovationd.renovation_sessions (owner_id, updated_at DESC, id DESC);
COMMENT ON TABLE renovationd.renovation_sessions IS 'One renovation project of an owner';
COMMENT ON COLUMN renovationd.renovation_sessions.updated_at IS 'Last change of the row or of what belongs to it; orders the list';

CREATE TABLE renovationd.session_phase_history (
	id         uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id   uuid NOT NULL,
	session_id uuid NOT NULL,
	from_phase text,
	to_phase   text NOT NULL,
	actor      text NOT NULL CHECK (actor IN ('user', 'agent', 'system')),
	turn_id    uuid,
	reason     text,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT session_phase_history_session FOREIGN KEY (owner_id, session_id)
		REFERENCES renovationd.renovation_sessions (owner_id, id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE
);
CREATE INDEX session_phase_history_order ON renovationd.session_phase_history (session_id, id);
COMMENT ON TABLE renovationd.session_phase_history IS 'Each change of a session''s phase, append only';

CREATE TABLE renovationd.renovation_rooms (
	id             uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id       uuid NOT NULL,
	session_id     uuid NOT NULL,
	name           text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
	kind           text,
	position       int NOT NULL DEFAULT 0,
	length_m       numeric(8,3) CHECK (length_m > 0),
	width_m        numeric(8,3) CHECK (width_m > 0),
	height_m       numeric(8,3) CHECK (height_m > 0),
	area_m2        numeric(10,3) CHECK (area_m2 > 0),
	budget         numeric(14,2) CHECK (budget >= 0),
	checklist      jsonb,
	plan           jsonb,
	source_file_id uuid,
	created_at     timestamptz NOT NULL DEFAULT now(),
	updated_at     timestamptz NOT NULL DEFAULT now(),
	version        int NOT NULL DEFAULT 1,
	CONSTRAINT renovation_rooms_owned UNIQUE (owner_id, id),
	CONSTRAINT renovation_rooms_session FOREIGN KEY (owner_id, session_id)
		REFERENCES renovationd.renovation_sessions (owner_id, id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE
);
CREATE UNIQUE INDEX renovation_rooms_name ON renovationd.renovation_rooms (session_id, lower(name));
CREATE INDEX renovation_rooms_order ON renovationd.renovation_rooms (session_id, position, id);
COMMENT ON TABLE renovationd.renovation_rooms IS 'A room of a session; names are unique in their session, whatever their case';

CREATE TABLE renovationd.product_recommendations (
	id            uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id      uuid NOT NULL,
	session_id    uuid NOT NULL,
	room_id       uuid,
	turn_id       uuid,
	name          text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 300),
	category      text,
	vendor        text,
	url           text,
	price         numeric(14,2) CHECK (price >= 0),
	currency      char(3) NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
	quantity      numeric(12,3) NOT NULL DEFAULT 1 CHECK (quantity > 0),
	rationale     text,
	status        text NOT NULL DEFAULT 'proposed' CHECK (status IN ('proposed', 'accepted', 'rejected')),
	price_seen_at timestamptz,
	dedupe_hash   bytea,
	created_at    timestamptz NOT NULL DEFAULT now(),
	updated_at    timestamptz NOT NULL DEFAULT now(),
	version       int NOT NULL DEFAULT 1,
	CONSTRAINT product_recommendations_once UNIQUE (session_id, dedupe_hash),
	CONSTRAINT product_recommendations_session FOREIGN KEY (owner_id, session_id)
		REFERENCES renovationd.renovation_sessions (owner_id, id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE,
	CONSTRAINT product_recommendations_room FOREIGN KEY (owner_id, room_id)
		REFERENCES renovationd.renovation_rooms (owner_id, id) ON UPDATE CASCADE ON DELETE SET NULL (room_id) DEFERRABLE
);
CREATE INDEX product_recommendations_order ON renovationd.product_recommendations (session_id, id DESC);
CREATE INDEX product_recommendations_status ON renovationd.product_recommendations (session_id, status);
CREATE INDEX product_recommendations_by_room ON renovationd.product_recommendations (room_id) WHERE room_id IS NOT NULL;
COMMENT ON TABLE renovationd.product_recommendations IS 'A product the agent (or the owner) proposes for a session or a room';
COMMENT ON COLUMN renovationd.product_recommendations.dedupe_hash IS 'sha256 of what makes two proposals the same; NULL for what an owner enters';
COMMENT ON COLUMN renovationd.product_recommendations.turn_id IS 'The turn that proposed it; a note of origin without a foreign key, set by the server only';

CREATE TABLE renovationd.contractor_recommendations (
	id          uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id    uuid NOT NULL,
	session_id  uuid NOT NULL,
	room_id     uuid,
	turn_id     uuid,
	name        text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 300),
	trade       text,
	contact     jsonb,
	rating      numeric(2,1) CHECK (rating BETWEEN 0 AND 5),
	quote_min   numeric(14,2) CHECK (quote_min >= 0),
	quote_max   numeric(14,2) CHECK (quote_max >= 0),
	currency    char(3) NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
	url         text,
	rationale   text,
	status      text NOT NULL DEFAULT 'proposed' CHECK (status IN ('proposed', 'accepted', 'rejected')),
	dedupe_hash bytea,
	created_at  timestamptz NOT NULL DEFAULT now(),
	updated_at  timestamptz NOT NULL DEFAULT now(),
	version     int NOT NULL DEFAULT 1,
	CONSTRAINT contractor_recommendations_quote CHECK (quote_min <= quote_max),
	CONSTRAINT contractor_recommendations_once UNIQUE (session_id, dedupe_hash),
	CONSTRAINT contractor_recommendations_session FOREIGN KEY (owner_id, session_id)
		REFERENCES renovationd.renovation_sessions (owner_id, id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE,
	CONSTRAINT contractor_recommendations_room FOREIGN KEY (owner_id, room_id)
		REFERENCES renovationd.renovation_rooms (owner_id, id) ON UPDATE CASCADE ON DELETE SET NULL (room_id) DEFERRABLE
);
CREATE INDEX contractor_recommendations_order ON renovationd.contractor_recommendations (session_id, id DESC);
CREATE INDEX contractor_recommendations_by_room ON renovationd.contractor_recommendations (room_id) WHERE room_id IS NOT NULL;
COMMENT ON TABLE renovationd.contractor_recommendations IS 'A firm the agent (or the owner) proposes for a session or a room';
