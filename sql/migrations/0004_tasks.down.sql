DROP TABLE renovationd.tasks;
