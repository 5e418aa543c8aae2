CREATE INDEX contractor_recommendations_order ON renovationd.contractor_recommendations (session_id, id DESC);
DROP INDEX renovationd.contractor_recommendations_by_session;
CREATE INDEX product_recommendations_order ON renovationd.product_recommendations (session_id, id DESC);
DROP INDEX renovationd.product_recommendations_by_session;
DROP INDEX renovationd.tasks_by_due;
CREATE INDEX tasks_session_order ON renovationd.tasks (session_id, position, id) WHERE session_id IS NOT NULL;
DROP INDEX renovationd.tasks_by_session;
CREATE INDEX renovation_rooms_order ON renovationd.renovation_rooms (session_id, position, id);
DROP INDEX renovationd.renovation_rooms_by_session;
