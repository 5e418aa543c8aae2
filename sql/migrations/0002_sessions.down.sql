DROP TABLE renovationd.contractor_recommendations;
DROP TABLE renovationd.product_recommendations;
DROP TABLE renovationd.renovation_rooms;
DROP TABLE renovationd.session_phase_history;
DROP TABLE renovationd.renovation_sessions;
